"""Tests of full disks, read-only and vanished folders, and races of two processes."""

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


@pytest.mark.parametrize("stride", [2, pytest.param(1, marks=pytest.mark.long)])
def test_a_full_disk_at_each_write_is_reported_and_loses_nothing(forge: Forge, clean_place: Path, stride: int) -> None:
    run = clean_place / "runs" / "run"
    assert forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "count": True}).code == 0
    expected = outcome(run)
    writes = int(Path("operations").read_text().split()[1])
    shutil.rmtree("runs")
    refused = 0
    for number in range(1, writes + 1, stride):
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
    assert refused == len(range(1, writes + 1, stride))
    assert writes >= 15


def test_a_file_size_limit_is_reported_with_path_and_cause(forge: Forge, clean_place: Path) -> None:
    ended = forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "file_bytes": 5000})
    assert ended.code == 3
    assert "cannot write runs/run/checkpoints/" in ended.err
    assert "File too large" in ended.err


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Return a folder that every user may enter; `tmp_path` may belong to root only."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_run_folder_is_reported_and_not_changed(forge: Forge, clean_place: Path, open_place: Path) -> None:
    user = {"user": NOBODY} if os.geteuid() == 0 else {}
    run = open_place / "runs" / "run"
    (open_place / "out").touch()
    (open_place / "err").touch()
    forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "count": True})
    operations = int(Path("operations").read_text().split()[0])
    ended = forge.run(
        *TRAIN, folder=open_place, fault={**EAGER, **user, "crash_at": operations - 2}
    )  # only the summary is missing
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
    assert "cannot create the run folder runs/run/new: Permission denied" in elsewhere.err


def test_a_run_folder_that_vanishes_is_reported(forge: Forge, clean_place: Path) -> None:
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
    """Start two processes on the same run at the same time; return their sorted outcomes."""
    start_at = time.time() + 0.3
    fault = {**EAGER, "slow_seconds": 0.1, "start_at": start_at}
    children, folders = [], [folder / "one", folder / "two"]
    for forge, place in zip(forges, folders, strict=True):
        children.append(forge.start(*arguments, folder=place, fault=fault))
    ended = [child.wait() for child in children]
    outcomes = []
    for i, j in ((0, 1), (1, 0)):
        if ended[i].code == 0:
            outcomes.append("trained")
        else:
            assert ended[i].code == 2, ended[i]
            assert f"is being trained by process {children[j].pid} on {os.uname().nodename} since" in ended[i].err
            assert "Traceback" not in ended[i].err
            outcomes.append("refused")
    return sorted(outcomes)


@pytest.mark.parametrize("pairs", [2, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["new", "resumed"])
def test_exactly_one_of_two_processes_trains_a_run(forge: Forge, clean_place: Path, pairs: int, kind: str) -> None:
    run = clean_place / "shared"
    train = [*TRAIN[:-1], str(run)]
    for name in ("one", "two"):
        Path(name).mkdir()
    raced = 0
    with Forge() as second:
        for _ in range(pairs):
            if kind == "resumed":
                Path("runs").symlink_to(".")  # the simulated disk only covers `runs`
                killed = forge.run(*TRAIN[:-1], "runs/shared", folder=clean_place, fault={**EAGER, "crash_at": 60})
                Path("runs").unlink()
                assert killed.code == -9
            arguments = ["train", "--resume", str(run)] if kind == "resumed" else train
            assert race((forge, second), clean_place, arguments) == ["refused", "trained"]
            shutil.rmtree(run)
            raced += 1
    assert raced == pairs
