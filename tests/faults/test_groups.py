"""Tests of crashes, full disks and signals during the training of a group of seeds."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dlcli.runs.find import find_run
from faults.forge import Forge
from faults.outcome import SETTINGS, outcome

EAGER = {"eager_saves": True}
SLOW = {**EAGER, "slow_seconds": 0.02}
GROUP = Path("runs/group")
RESUME = ["train", "--resume", "runs/group"]


def train(seeds: int, together: str = "auto") -> list[str]:
    settings = [*SETTINGS, f"training.together={together}"]
    return ["train", "-c", "digits", *settings, "--seeds", str(seeds), "--run-dir", "runs/group"]


ONE_BY_ONE = train(3, "never")  # the same file operations each time


def outcomes(group: Path) -> list[dict[str, Any]]:
    """Return the outcome of each seed, see `outcome`, and of the group."""
    seeds = json.loads((group / "group.json").read_text())["seeds"]
    summary = json.loads((group / "summary.json").read_text())
    summary.pop("seconds")
    return [{"summary": summary}, *(outcome(find_run(group / str(seed)).path) for seed in seeds)]


@pytest.fixture(scope="module")
def whole(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], int, int]:
    """Return the outcomes of an uninterrupted group, and the numbers of its file operations and of its writes."""
    folder = tmp_path_factory.mktemp("whole")
    ended = forge.run(*ONE_BY_ONE, folder=folder, fault={**EAGER, "count": True})
    assert ended.code == 0, ended.err
    operations, writes = map(int, (folder / "operations").read_text().split())
    return outcomes(folder / GROUP), operations, writes


def resume_or_train(forge: Forge, folder: Path, new: list[str] = ONE_BY_ONE) -> list[dict[str, Any]]:
    """Resume the group in `folder`, or start it if it has no manifest, and return its outcomes."""
    has_begun = (folder / GROUP / "group.json").exists()
    ended = forge.run(*(RESUME if has_begun else new), folder=folder, fault=EAGER)
    assert (ended.code, "Traceback" in ended.err, "damaged" in ended.err) == (0, False, False), ended.err
    return outcomes(folder / GROUP)


@pytest.mark.parametrize("stride", [29, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("fault", [{"half": True}, {"power_cut": True}], ids=["half a write", "power cut"])
def test_results_are_identical_after_a_crash_at_every_file_operation(
    forge: Forge, clean_place: Path, whole: tuple[list[dict[str, Any]], int, int], fault: dict[str, Any], stride: int
) -> None:
    expected, operations, _ = whole
    assert operations >= 60
    for number in range(1, operations + 1, stride):
        ended = forge.run(*ONE_BY_ONE, folder=clean_place, fault={**EAGER, **fault, "crash_at": number})
        assert ended.code == -signal.SIGKILL, ended.err
        assert resume_or_train(forge, clean_place) == expected, f"after a crash at operation {number} of {operations}"
        shutil.rmtree("runs")


@pytest.mark.parametrize("stride", [19, pytest.param(1, marks=pytest.mark.long)])
def test_results_are_identical_after_a_crash_at_every_operation_of_a_resume(
    forge: Forge, clean_place: Path, whole: tuple[list[dict[str, Any]], int, int], stride: int
) -> None:
    expected, operations, _ = whole
    ended = forge.run(*ONE_BY_ONE, folder=clean_place, fault={**EAGER, "crash_at": operations * 2 // 3})
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


@pytest.mark.parametrize(("seeds", "kills"), [(4, 6), pytest.param(32, 30, marks=pytest.mark.long)])
def test_results_are_identical_after_kills_at_random_times(
    forge: Forge, clean_place: Path, seeds: int, kills: int
) -> None:
    start = time.perf_counter()
    expected = resume_or_train(forge, clean_place, train(seeds))
    seconds = time.perf_counter() - start
    shutil.rmtree("runs")
    draw, killed = random.Random(0), 0
    while killed < kills:
        for _ in range(3):
            has_begun = (GROUP / "group.json").exists()
            child = forge.start(*(RESUME if has_begun else train(seeds)), folder=clean_place, fault=SLOW)
            time.sleep(draw.uniform(0, seconds))
            child.kill(signal.SIGKILL)
            ended = child.wait()
            assert ended.code in (0, -signal.SIGKILL), ended.err
            killed += ended.code == -signal.SIGKILL
        assert resume_or_train(forge, clean_place, train(seeds)) == expected
        shutil.rmtree("runs")


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.long)])
def test_a_full_disk_is_reported_and_loses_nothing(
    forge: Forge, clean_place: Path, whole: tuple[list[dict[str, Any]], int, int], stride: int
) -> None:
    expected, _, writes = whole
    assert writes >= 12
    for number in range(1, writes + 1, stride):
        ended = forge.run(*ONE_BY_ONE, folder=clean_place, fault={**EAGER, "full_at": number})
        is_page = "could not write the report: cannot write runs/group/report.html" in ended.err  # all else is saved
        assert ended.code == (0 if is_page else 3), (number, ended)
        assert is_page or "error: cannot write runs/group/" in ended.err
        assert "Traceback" not in ended.err
        assert resume_or_train(forge, clean_place) == expected, f"after write {number} of {writes}"
        shutil.rmtree("runs")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_group_and_shows_how_to_resume(
    forge: Forge, clean_place: Path, whole: tuple[list[dict[str, Any]], int, int], signum: int, code: int
) -> None:
    child = forge.start(*train(3), folder=clean_place, fault={**EAGER, "slow_seconds": 0.2})
    while not (GROUP / "checkpoints" / "last.safetensors").exists():
        time.sleep(0.01)
    child.kill(signum)
    ended = child.wait()
    assert (ended.code, "Traceback" in ended.err) == (code, False), ended.err
    assert " of 6 epochs; saved runs/group/checkpoints/last.safetensors" in ended.err
    assert "hint: `dlcli train --resume runs/group` continues from there" in ended.err
    assert json.loads((GROUP / "summary.json").read_text())["status"] == "interrupted"
    assert resume_or_train(forge, clean_place) == whole[0]
