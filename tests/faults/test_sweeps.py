"""Tests of sweeps whose workers are killed: no trial is lost, and generations give the trials of one worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra dlcli[sweep]")

from faults.crew import LOG, MODULES, SWEEP, Crew, check_trials, check_values, clear, outcome, write_config
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


@pytest.mark.parametrize("pruner", ["asha", "median"])
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


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "asha"), ("random", "median"), ("qmc", "hyperband")])
def test_generations_give_the_trials_of_one_worker(
    sweep_forge: Forge, clean_place: Path, sampler: str, pruner: str
) -> None:
    write_config(clean_place, pruner=pruner, sampler=sampler, generation=8, trials=16)
    run(sweep_forge, clean_place, 16, workers=1)
    expected = outcome(clean_place)
    assert run(sweep_forge, clean_place, 16, workers=3, kills=4)["killed"] >= 2
    assert outcome(clean_place) == expected


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


@pytest.mark.parametrize("stride", [97, pytest.param(7, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
@pytest.mark.parametrize(
    "fault", [{"half": True, "without_sync": True}, {"power_cut": True}], ids=["half a write", "power cut"]
)
def test_a_crash_at_every_file_operation_of_a_sweep_changes_nothing(
    sweep_forge: Forge, clean_place: Path, stride: int, fault: dict[str, Any]
) -> None:
    settings = {"trials": 4, "generation": 4, "pruner": {"name": "asha", "factor": 2}, "keep": 1}
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
