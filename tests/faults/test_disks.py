"""Disks that are full, folders that cannot be written to or vanish: told with path and cause, and nothing lost."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcli.runs.checkpoint import load_checkpoint
from faults.forge import Forge
from faults.outcome import RESUME, TRAIN, damaged_checkpoints, outcome

EAGER = {"eager_saves": True}
NOBODY = 65534


def test_a_full_disk_at_each_write_is_told_and_loses_nothing(forge: Forge, clean_place: Path) -> None:
    run = clean_place / "runs" / "run"
    assert forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "count": True}).code == 0
    expected = outcome(run)
    writes = int(Path("operations").read_text().split()[1])
    shutil.rmtree("runs")
    refused = 0
    for number in range(1, writes + 1):
        ended = forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "full_at": number})
        assert ended.code == 3, (number, ended)
        assert "error: cannot write runs/run/" in ended.err
        assert "No space left on device" in ended.err
        assert "Traceback" not in ended.err
        assert damaged_checkpoints(run) == []
        refused += 1
        has_begun = (run / "manifest.json").exists()
        assert forge.run(*(RESUME if has_begun else TRAIN), folder=clean_place, fault=EAGER).code == 0
        assert outcome(run) == expected
        shutil.rmtree("runs")
    assert refused == writes
    assert writes >= 15


def test_a_quota_on_files_is_told_with_path_and_cause(forge: Forge, clean_place: Path) -> None:
    ended = forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "file_bytes": 5000})
    assert ended.code == 3
    assert "cannot write runs/run/checkpoints/" in ended.err
    assert "File too large" in ended.err


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every user may enter; the test's own may be root's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_to_is_told_and_left_alone(
    forge: Forge, clean_place: Path, open_place: Path
) -> None:
    user = {"user": NOBODY} if os.geteuid() == 0 else {}
    run = open_place / "runs" / "run"
    (open_place / "out").touch()
    (open_place / "err").touch()
    forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "count": True})
    operations = int(Path("operations").read_text().split()[0])
    ended = forge.run(
        *TRAIN, folder=open_place, fault={**EAGER, **user, "crash_at": operations - 2}
    )  # all is there but the summary
    assert ended.code == -9, ended.err
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for path in (run, run / "checkpoints"):
        path.chmod(0o555)
    for path in before:
        path.chmod(0o444)
    refused = forge.run(*RESUME, folder=open_place, fault={**EAGER, **user})
    assert refused.code == 3, refused
    assert "error: cannot write to runs/run: Permission denied" in refused.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert load_checkpoint(run / "checkpoints" / "last.safetensors").training is not None
    elsewhere = forge.run(*TRAIN[:-1], "runs/run/new", folder=open_place, fault={**EAGER, **user})
    assert elsewhere.code == 2
    assert "cannot make the run folder runs/run/new: Permission denied" in elsewhere.err


def test_a_folder_that_vanishes_is_told(forge: Forge, clean_place: Path) -> None:
    child = forge.start(*TRAIN, folder=clean_place, fault={**EAGER, "slow_seconds": 0.2})
    while not Path("runs/run/manifest.json").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    Path("runs/run").rename("gone")
    ended = child.wait()
    assert ended.code == 3
    assert "error: cannot write runs/run/" in ended.err
    assert "No such file or directory" in ended.err
    assert "Traceback" not in ended.err


def race(forges: tuple[Forge, Forge], folder: Path, arguments: list[str]) -> list[str]:
    """Start two processes at the same moment on one run; return how each came out."""
    start_at = time.time() + 0.3
    fault = {**EAGER, "slow_seconds": 0.1, "start_at": start_at}
    children, folders = [], [folder / "one", folder / "two"]
    for forge, place in zip(forges, folders, strict=True):
        children.append(forge.start(*arguments, folder=place, fault=fault))
    ended = [child.wait() for child in children]
    outcomes = []
    for one, other in ((0, 1), (1, 0)):
        if ended[one].code == 0:
            outcomes.append("trained")
        else:
            assert ended[one].code == 2, ended[one]
            assert f"is being trained by process {children[other].pid} on {os.uname().nodename} since" in ended[one].err
            assert "Traceback" not in ended[one].err
            outcomes.append("refused")
    return sorted(outcomes)


@pytest.mark.parametrize("pairs", [4, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["new", "resumed"])
def test_of_two_processes_on_one_run_exactly_one_trains(forge: Forge, clean_place: Path, pairs: int, kind: str) -> None:
    run = clean_place / "shared"
    train = [*TRAIN[:-1], str(run)]
    for name in ("one", "two"):
        Path(name).mkdir()
    raced = 0
    with Forge() as second:
        for _ in range(pairs):
            if kind == "resumed":
                Path("runs").symlink_to(".")  # the disk that fails looks below `runs`
                killed = forge.run(*TRAIN[:-1], "runs/shared", folder=clean_place, fault={**EAGER, "crash_at": 60})
                Path("runs").unlink()
                assert killed.code == -9
            arguments = ["train", "--resume", str(run)] if kind == "resumed" else train
            assert race((forge, second), clean_place, arguments) == ["refused", "trained"]
            shutil.rmtree(run)
            raced += 1
    assert raced == pairs
