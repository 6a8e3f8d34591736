"""Tests of sweeps whose workers are killed: no trial is lost, and generations give the trials of one worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra dlcli[sweep]")

from faults.crew import LOG, MODULES, Crew, Outcome, check_trials, check_values, clear, outcome, write_config
from faults.forge import Forge

EAGER = {"frequent_saves": True, "epoch_log": LOG, "without_sync": True}


@pytest.fixture(scope="module")
def crew_forge() -> Iterator[Forge]:
    with Forge(*MODULES) as forge:
        yield forge


def run(forge: Forge, folder: Path, workers: int, kills: int = 0, seed: int = 0) -> dict[str, int]:
    """Run the sweep of a folder, check its trials, and return their states."""
    crew = Crew(forge, folder, **EAGER)
    crew.run(workers, kills, seed)
    states = check_trials(folder, 40, crew.killed)
    return {**states, "killed": len(crew.killed)}


@pytest.mark.parametrize("pruner", ["asha", "median", "none", "hyperband"])
def test_no_trial_is_lost_when_workers_are_killed(crew_forge: Forge, clean_place: Path, pruner: str) -> None:
    write_config(clean_place, pruner=pruner)
    states = run(crew_forge, clean_place, workers=3, kills=8)
    print(states)
    assert states["killed"] >= 4
    assert states["diverged"] > 0
    assert (states["pruned"] > 0) == (pruner != "none")
    check_values(clean_place, [0, 7, 39])


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "asha"), ("random", "median"), ("qmc", "hyperband"), ("cmaes", "none"), ("gp", "asha")],
)
def test_generations_give_the_same_trials_with_any_number_of_workers_and_kills(
    crew_forge: Forge, clean_place: Path, sampler: str, pruner: str
) -> None:
    write_config(clean_place, pruner=pruner, sampler=sampler, generation=8)
    found: list[Outcome] = []
    for workers, kills in ((1, 0), (2, 5), (3, 5)):
        clear(clean_place)
        print(run(crew_forge, clean_place, workers, kills))
        found.append(outcome(clean_place))
    check_values(clean_place, [0, 39])
    assert found[1] == found[0]
    assert found[2] == found[0]
