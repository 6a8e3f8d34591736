"""Tests of resuming after crashes at every file operation and after kills at random times."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.folder import RunFolder
from faults.forge import Forge
from faults.outcome import RESUME, TRAIN, damaged_checkpoints, outcome

EAGER = {"eager_saves": True}


@pytest.fixture(scope="module")
def whole(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """Return the outcome of an uninterrupted run, and its number of file operations."""
    folder = tmp_path_factory.mktemp("whole")
    ended = forge.run(*TRAIN, folder=folder, fault={**EAGER, "count": True})
    assert ended.code == 0, ended.err
    operations, _ = (folder / "operations").read_text().split()
    return outcome(folder / "runs" / "run"), int(operations)


def resume_or_train(forge: Forge, folder: Path, train: Sequence[str] = TRAIN) -> dict[str, Any]:
    """Resume the run in `folder`, or start it if it has no manifest, and return its outcome."""
    has_begun = (folder / "runs" / "run" / "manifest.json").exists()
    ended = forge.run(*(RESUME if has_begun else train), folder=folder, fault=EAGER)
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    assert "damaged" not in ended.err
    return outcome(folder / "runs" / "run")


def crash_at_each_operation(
    forge: Forge, folder: Path, whole: tuple[dict[str, Any], int], fault: dict[str, Any], stride: int
) -> None:
    """Crash at every `stride`-th operation and compare the outcome."""
    expected, operations = whole
    for number in range(1, operations + 1, stride):
        ended = forge.run(*TRAIN, folder=folder, fault={**EAGER, **fault, "crash_at": number})
        assert ended.code == -signal.SIGKILL, (
            f"operation {number} of {operations} did not kill the process: {ended.err}"
        )
        assert damaged_checkpoints(folder / "runs" / "run") == []
        assert resume_or_train(forge, folder) == expected, f"after a crash at operation {number}"
        shutil.rmtree(folder / "runs")


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "fault",
    [pytest.param({}, marks=pytest.mark.long), {"half": True}, {"power_cut": True}],
    ids=["kill", "half a write", "power cut"],
)
def test_results_are_identical_after_a_crash_at_every_file_operation(
    forge: Forge, clean_place: Path, whole: tuple[dict[str, Any], int], fault: dict[str, Any], stride: int
) -> None:
    assert whole[1] >= 90
    crash_at_each_operation(forge, clean_place, whole, fault, stride)


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.long)])
def test_a_run_on_a_table_is_identical_after_a_crash(forge: Forge, clean_place: Path, stride: int) -> None:
    lines = [f"{i * 37 % 101 / 7:.4f};{'' if i % 9 == 4 else i % 5};{'abc'[i % 3]};{'yn'[i % 2]}" for i in range(900)]
    Path("t.csv").write_text("\n".join(["x;n;kind;y", *lines]).replace(".", ",") + "\n")
    Path("t.yaml").write_text("data: {name: csv, path: t.csv, target: y, missing: median}\n")
    train = ["train", "-c", "t.yaml", *TRAIN[3:]]
    ended = forge.run(*train, folder=clean_place, fault={**EAGER, "count": True})
    assert ended.code == 0, ended.err
    operations = int(Path("operations").read_text().split()[0])
    expected = outcome(Path("runs/run"))
    shutil.rmtree("runs")
    for number in range(1, operations + 1, stride):
        ended = forge.run(*train, folder=clean_place, fault={**EAGER, "half": True, "crash_at": number})
        assert ended.code == -signal.SIGKILL, ended.err
        assert resume_or_train(forge, clean_place, train) == expected, f"after a crash at operation {number}"
        shutil.rmtree("runs")


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.long)])
def test_eval_after_a_crash_uses_the_recorded_best_model_or_gives_a_hint(
    forge: Forge, clean_place: Path, whole: tuple[dict[str, Any], int], stride: int
) -> None:
    """`best` is written before the `last` that records it; between the two writes, the old `best` is valid."""
    run, epochs = Path("runs/run"), set()
    for number in range(whole[1], whole[1] // 4, -stride):
        forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "crash_at": number})
        ended = forge.run("eval", "runs/run", "--json", "--no-baselines", folder=clean_place)
        assert "Traceback" not in ended.err
        if ended.code == 0:
            last = next(path for name in ("last", "previous") if (path := RunFolder(run).checkpoint(name)).exists())
            state = load_checkpoint(last).training
            epoch = json.loads(ended.out)["epoch"]
            assert state is None or (run / "summary.json").exists() or state.best.best_epoch == epoch, number
            epochs.add(epoch)
        else:
            assert ended.code in (2, 3), ended.err
            assert not (run / "manifest.json").exists() or "continue with `dlcli train --resume " in ended.err, (
                f"after a crash at operation {number}"
            )
        shutil.rmtree("runs")
    assert epochs == {1, 2}


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.long)])
def test_results_are_identical_after_a_crash_at_every_operation_of_a_resume(
    forge: Forge, clean_place: Path, whole: tuple[dict[str, Any], int], stride: int
) -> None:
    """Resuming resets the run folder before training; a crash at that point must not lose anything."""
    expected, operations = whole
    ended = forge.run(*TRAIN, folder=clean_place, fault={**EAGER, "crash_at": operations * 2 // 3})
    assert ended.code == -signal.SIGKILL
    shutil.copytree("runs", "backup")
    for number in itertools.count(1, stride):
        ended = forge.run(*RESUME, folder=clean_place, fault={**EAGER, "power_cut": True, "crash_at": number})
        if ended.code == 0:
            break
        assert ended.code == -signal.SIGKILL, ended.err
        assert resume_or_train(forge, clean_place) == expected, f"after a crash at operation {number} of the resume"
        shutil.rmtree("runs")
        shutil.copytree("backup", "runs")
    assert number > 40


def kill_at_random(forge: Forge, folder: Path, expected: dict[str, Any], kills: int, runs: int) -> tuple[int, int]:
    """Kill runs at random times, several times each, until both counts are reached; return the counts."""
    draw = random.Random(0)
    start = time.perf_counter()
    assert forge.run(*TRAIN, folder=folder, fault=EAGER).code == 0
    seconds = time.perf_counter() - start
    shutil.rmtree(folder / "runs")
    killed = finished = 0
    while killed < kills or finished < runs:
        for _ in range(3):
            has_begun = (folder / "runs" / "run" / "manifest.json").exists()
            child = forge.start(*(RESUME if has_begun else TRAIN), folder=folder, fault=EAGER)
            time.sleep(draw.uniform(0, seconds))
            child.kill(signal.SIGKILL)
            ended = child.wait()
            assert ended.code in (0, -signal.SIGKILL), ended.err
            killed += ended.code == -signal.SIGKILL
            assert damaged_checkpoints(folder / "runs" / "run") == []
        assert resume_or_train(forge, folder) == expected
        finished += 1
        shutil.rmtree(folder / "runs")
    return killed, finished


@pytest.mark.parametrize(("kills", "runs"), [(16, 8), pytest.param(200, 100, marks=pytest.mark.long)])
def test_results_are_identical_after_kills_at_random_times(
    forge: Forge, clean_place: Path, whole: tuple[dict[str, Any], int], kills: int, runs: int
) -> None:
    killed, finished = kill_at_random(forge, clean_place, whole[0], kills, runs)
    assert killed >= kills
    assert finished >= runs


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("is_replaced", [True, False], ids=["an older export", "a new folder"])
def test_an_export_killed_at_a_file_operation_leaves_the_old_folder_or_the_new_one(
    forge: Forge, clean_place: Path, is_replaced: bool, stride: int
) -> None:
    export = ["export", "runs/run", "--format", "safetensors", "-o", "runs/model", "--checkpoint"]
    assert forge.run(*TRAIN, folder=clean_place).code == 0
    states: list[dict[str, bytes]] = []
    for which in ("last", "best"):
        ended = forge.run(*export, which, folder=clean_place, fault={"count": True})
        assert ended.code == 0, ended.err
        states.append({path.name: path.read_bytes() for path in Path("runs/model").iterdir()})
    operations = int(Path("operations").read_text().split()[0])
    assert operations >= 15
    old = states[0] if is_replaced else {}
    for number in range(1, operations + 1, stride):
        shutil.rmtree("runs/model", ignore_errors=True)
        if old:
            assert forge.run(*export, "last", folder=clean_place).code == 0
        ended = forge.run(*export, "best", folder=clean_place, fault={"half": True, "crash_at": number})
        assert ended.code == -signal.SIGKILL, ended.err
        found = {path.name: path.read_bytes() for path in Path("runs").glob("model/*")}
        assert found in (old, states[1]), f"after a crash at operation {number} of {operations}"
    assert forge.run(*export, "best", folder=clean_place).code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["model", "run"]
