"""Tests of sweeps whose workers are killed: no trial is lost, and generations give the trials of one worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra dlcli[sweep]")

from dlcli.runs.folder import RunFolder
from faults.crew import LOG, MODULES, SETTINGS, SWEEP, Crew, check_trials, check_values, clear, outcome, write_config
from faults.forge import Forge

EAGER: dict[str, Any] = {"frequent_saves": True, "epoch_log": LOG, "without_sync": True}


@pytest.fixture(scope="module")
def sweep_forge() -> Iterator[Forge]:
    """Yield a forge that has imported what a sweep needs."""
    with Forge(*MODULES) as forge:
        yield forge


def run(forge: Forge, folder: Path, trials: int, workers: int, kills: int = 0, seed: int = 0) -> dict[str, int]:
    """Run a new sweep, check its trials, and return the number of them by state, and of the kills."""
    clear(folder)
    crew = Crew(forge, folder, **EAGER)
    crew.run(workers, kills, seed)
    return {**check_trials(folder, trials, crew.killed), "killed": len(crew.killed)}


@pytest.mark.parametrize("pruner", ["asha", pytest.param("median", marks=pytest.mark.long)])
def test_no_trial_is_lost_when_workers_are_killed(sweep_forge: Forge, clean_place: Path, pruner: str) -> None:
    write_config(clean_place, pruner=pruner, trials=16)
    states = run(sweep_forge, clean_place, 16, workers=3, kills=5)
    assert states["killed"] >= 2
    assert states["finished"] > 0
    check_values(clean_place, [0, 7, 15])


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("pruner", ["asha", "median", "hyperband", "none"])
def test_no_trial_of_ten_sweeps_is_lost_with_sixty_kills(sweep_forge: Forge, clean_place: Path, pruner: str) -> None:
    write_config(clean_place, pruner=pruner)
    killed = dict.fromkeys(("finished", "pruned", "diverged", "killed"), 0)
    for seed in range(10):
        states = run(sweep_forge, clean_place, 40, workers=3, kills=7, seed=seed)
        assert states["finished"] + states["pruned"] + states["diverged"] == 40
        killed = {state: killed[state] + states[state] for state in states}
        check_values(clean_place, [seed, 39 - seed])
    print(pruner, killed)
    assert killed["killed"] >= 60
    assert all(killed[state] or (state, pruner) == ("pruned", "none") for state in killed)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "asha"), pytest.param("random", "median", marks=pytest.mark.long), ("qmc", "hyperband")],
)
def test_generations_give_the_trials_of_one_worker(
    sweep_forge: Forge, clean_place: Path, sampler: str, pruner: str
) -> None:
    write_config(clean_place, pruner=pruner, sampler=sampler, generation=8, trials=16)
    run(sweep_forge, clean_place, 16, workers=1)
    expected = outcome(clean_place)
    assert run(sweep_forge, clean_place, 16, workers=3, kills=4)["killed"] >= 2
    assert outcome(clean_place) == expected


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_generations_of_trials_with_several_seeds_give_the_trials_of_one_worker(
    sweep_forge: Forge, clean_place: Path, kills: int
) -> None:
    write_config(clean_place, seeds_per_trial=2, pruner={"name": "asha", "factor": 2}, generation=4, trials=8)
    Crew(sweep_forge, clean_place, **EAGER).run(workers=1)
    expected = outcome(clean_place)
    assert {"pruned", "finished"} <= set(expected.trials.replace("\n", ",").split(","))
    clear(clean_place)
    crew = Crew(sweep_forge, clean_place, **EAGER)
    crew.run(workers=3, kills=kills)
    assert outcome(clean_place)[:2] == expected[:2]
    assert len(crew.killed) > kills // 3


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "asha"), ("random", "median"), ("qmc", "hyperband"), ("cmaes", "none"), ("gp", "asha"), ("tpe", "median")],
)
def test_generations_give_the_trials_of_one_worker_with_sixty_kills(
    sweep_forge: Forge, clean_place: Path, sampler: str, pruner: str
) -> None:
    write_config(clean_place, pruner=pruner, sampler=sampler, generation=8)
    states, killed = run(sweep_forge, clean_place, 40, workers=1), 0
    expected = outcome(clean_place)
    for seed in range(10):
        killed += run(sweep_forge, clean_place, 40, workers=1 + seed % 3, kills=7, seed=seed)["killed"]
        assert outcome(clean_place) == expected, seed
    print(sampler, pruner, states, killed)
    assert killed >= 60


def workers_of(folder: Path) -> list[int]:
    """Return the worker processes of the sweep in a folder."""
    lines = {path.parent.name: path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline")}
    cwd = {pid: os.path.realpath(f"/proc/{pid}/cwd") for pid, line in lines.items() if b"sweep-worker" in line}
    return [int(pid) for pid, path in cwd.items() if path == os.path.realpath(folder)]


def lengths_of(folder: Path) -> dict[str, int]:
    """Return the length of the log of each trial that has trained an epoch."""
    return {path.parent.name: path.stat().st_size for path in folder.rglob("trials/*/metrics.jsonl")}


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the processes in /proc")
def test_workers_save_and_end_with_the_process_that_started_them(sweep_forge: Forge, clean_place: Path) -> None:
    settings = {**SETTINGS, "training": {"epochs": 250, "batch_size": 10, "threads": 1}}
    space = {"optimizer.lr": {"min": 0.01, "max": 0.1, "log": True}}
    write_config(clean_place, base=settings, space=space, trials=4, generation=4, pruner="none")
    whole = sweep_forge.run(*SWEEP, folder=clean_place, fault={"without_sync": True})
    assert whole.code == 0, whole.err
    expected = outcome(clean_place)
    clear(clean_place)
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        parent = sweep_forge.start(*SWEEP, "--workers", "2", folder=clean_place)
        before = lengths_of(clean_place)
        wait_until(lambda before=before: len(lengths_of(clean_place).items() - before.items()) >= 2)
        parent.kill(signum)
        ended = parent.wait()
        assert ended.code == code, ended
        assert ("continues it" in ended.err) == (signum == signal.SIGTERM)
        wait_until(lambda: not workers_of(clean_place))
        statuses = [RunFolder(path.parent).status for path in clean_place.rglob("trials/*/manifest.json")]
        assert set(statuses) <= {"interrupted", "finished", "diverged"}
    again = sweep_forge.run(*SWEEP, folder=clean_place, fault={"without_sync": True})
    assert again.code == 0, again.err
    assert outcome(clean_place) == expected


@pytest.mark.parametrize("stride", [97, pytest.param(7, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
@pytest.mark.parametrize(
    "fault", [{"half": True, "without_sync": True}, {"power_cut": True}], ids=["half a write", "power cut"]
)
@pytest.mark.parametrize("generation", [pytest.param(None, marks=pytest.mark.long), 4])
def test_a_crash_at_every_file_operation_of_a_sweep_changes_nothing(
    sweep_forge: Forge, clean_place: Path, generation: int | None, stride: int, fault: dict[str, Any]
) -> None:
    """One worker gives the same trials without generations, too."""
    settings = {"trials": 4, "generation": generation, "pruner": {"name": "asha", "factor": 2}, "keep": 1}
    write_config(clean_place, **settings, space={"optimizer.lr": {"min": 0.01, "max": 10.0, "log": True}})
    whole = sweep_forge.run(*SWEEP, folder=clean_place, fault={"frequent_saves": True, "count": True})
    assert whole.code == 0, whole.err
    expected, operations = outcome(clean_place), int((clean_place / "operations").read_text().split()[0])
    assert operations > 300
    for number in range(1, operations + 1, stride):
        clear(clean_place)
        ended = sweep_forge.run(*SWEEP, folder=clean_place, fault={"frequent_saves": True, **fault, "crash_at": number})
        assert ended.code == -signal.SIGKILL, (number, ended)
        ended = sweep_forge.run(*SWEEP, folder=clean_place, fault={"without_sync": True})
        assert (ended.code, "damaged" in ended.err) == (0, False), (number, ended)
        assert outcome(clean_place) == expected, f"after a crash at operation {number} of {operations}"


@pytest.mark.parametrize("stride", [41, pytest.param(3, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_a_full_disk_ends_the_worker_and_loses_nothing(sweep_forge: Forge, clean_place: Path, stride: int) -> None:
    write_config(clean_place, trials=4, generation=4, pruner={"name": "asha", "factor": 2})
    whole = sweep_forge.run(*SWEEP, folder=clean_place, fault={**EAGER, "count": True})
    assert whole.code == 0, whole.err
    expected, writes = outcome(clean_place), int((clean_place / "operations").read_text().split()[1])
    assert writes > 100
    for number in range(1, writes + 1, stride):
        clear(clean_place)
        ended = sweep_forge.run(*SWEEP, folder=clean_place, fault={**EAGER, "full_at": number})
        assert (ended.code, "Traceback" in ended.err) == (3, False), (number, ended)
        assert "No space left on device" in ended.err
        ended = sweep_forge.run(*SWEEP, folder=clean_place, fault=EAGER)
        assert ended.code == 0, (number, ended)
        assert outcome(clean_place) == expected, f"after write {number} of {writes}"
