"""Tests of trials of a generation that train together: their files are those of training alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra dlcli[sweep]")

from faults.crew import Outcome, check_values, clear, only_sweep, outcome, write_config
from optuna.trial import Trial

from dlcli import api
from dlcli.api.sweeping import generation, worker
from dlcli.api.sweeping.preparation import DataCache, Stackable, find_stackable
from dlcli.api.sweeping.turn import KEPT, REACHED, take_turn
from dlcli.config.load import load_config
from dlcli.errors import DataError, Interrupted
from dlcli.runs import recorder
from dlcli.runs.folder import RunFolder
from dlcli.sweeps.claims import Claim, ClaimLostError
from dlcli.sweeps.folder_claims import FolderClaims
from dlcli.sweeps.sweep import read_sweep
from dlcli.sweeps.trials import read_end
from dlcli.training.listeners import Listeners
from dlcli.training.together import lockstep
from dlcli.training.together.active_stack import ActiveStack

SPACE: dict[str, Any] = {
    "model.hidden_sizes": [[4], [8]],
    "model.dropout": [0.25],
    "optimizer": [
        {"name": "sgd", "lr": [0.1, 1e6], "momentum": [0.9], "weight_decay": [0.1]},
        {"name": "adam", "lr": [0.01]},
        {"name": "adam", "lr": [0.1], "weight_decay": [0.01]},
    ],
    "early_stopping.patience": [1, 4],
}
ASHA = {"name": "asha", "factor": 2}


@pytest.fixture(autouse=True)
def without_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip fsync, which no test here needs."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of trainings in each stack, in the order of their creation."""
    found: list[int] = []

    def build(trainings: Any) -> ActiveStack:
        found.append(len(trainings))
        return ActiveStack(trainings)

    monkeypatch.setattr(lockstep, "ActiveStack", build)
    return found


def results(folder: Path) -> tuple[Outcome, Mapping[str, bytes]]:
    """Return the outcome of the sweep in a folder, and its checkpoints."""
    trials = only_sweep(folder).trials
    paths = (path for name in ("best", "last") for path in trials.rglob(f"{name}.safetensors"))
    files = {str(path.relative_to(trials)): path.read_bytes() for path in paths}
    return outcome(folder), files


@pytest.mark.parametrize(("pruner", "ending"), [("none", "diverged"), (ASHA, "pruned")])
def test_trials_that_are_stacked_have_the_files_of_those_that_are_not(
    clean_place: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch, pruner: Any, ending: str
) -> None:
    write_config(clean_place, space=SPACE, sampler="grid", pruner=pruner, trials=16, generation=16, keep=16)
    api.sweep("tune.yaml")
    stacked = results(clean_place)
    assert sizes[0] == 8, "of each width"
    assert max(sizes[1:]) == 8
    assert {"finished", ending} <= set(stacked[0].trials.replace("\n", ",").split(","))
    check_values(clean_place, list(range(16)))
    clear(clean_place)
    sizes.clear()
    monkeypatch.setattr(worker, "find_stackable", lambda *_: Stackable())
    api.sweep("tune.yaml")
    assert not sizes
    assert results(clean_place) == stacked


def fail_once(method: Callable[..., Any], error: Exception, is_due: Callable[..., bool]) -> Callable[..., Any]:
    """Return the function, which raises an error the first time that `is_due` returns True for its arguments."""
    errors = [error]

    def call(*arguments: Any, **options: Any) -> Any:
        if errors and is_due(*arguments):
            raise errors.pop()
        return method(*arguments, **options)

    return call


def test_an_error_of_one_trial_saves_the_others(
    clean_place: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"optimizer.lr": {"min": 0.01, "max": 0.1}}
    write_config(clean_place, space=space, pruner="none", trials=4, generation=4, keep=4)
    api.sweep("tune.yaml")
    expected = results(clean_place)
    clear(clean_place)
    full = DataError("cannot write: no space left")
    append = fail_once(recorder.append_row, full, lambda path, row: path.name == "0001" and row["epoch"] == 3)
    monkeypatch.setattr(recorder, "append_row", append)
    with pytest.raises(DataError, match="no space left"):
        api.sweep("tune.yaml")
    folders = [RunFolder(only_sweep(clean_place).trial(number)) for number in range(4)]
    assert [folder.status for folder in folders] == ["interrupted", "failed", "interrupted", "interrupted"]
    assert [len(rows) for rows in outcome_logs(clean_place)] == [3, 2, 3, 3]
    sizes.clear()
    api.sweep("tune.yaml")
    assert results(clean_place) == expected
    assert sizes[0] == 3, "the trial that failed starts again, from another position"


def outcome_logs(folder: Path) -> list[Any]:
    """Return the log of each trial of a sweep that has not ended."""
    trials = only_sweep(folder).trials
    return [(path / "metrics.jsonl").read_text().splitlines() for path in sorted(trials.glob("[0-9]*/"))]


def test_a_trial_whose_claim_is_lost_is_not_written_any_more_and_the_others_go_on(
    clean_place: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"optimizer.lr": {"min": 0.01, "max": 0.1}}
    write_config(clean_place, space=space, pruner=ASHA, trials=4, generation=4, keep=4)
    api.sweep("tune.yaml")
    expected = results(clean_place)
    clear(clean_place)
    lost = fail_once(Claim.report, ClaimLostError(), lambda claim, *_: claim.number == 2)
    monkeypatch.setattr(Claim, "report", lost)
    statuses: list[list[str]] = []
    take = generation._take

    def look(place: Any) -> Any:
        trials = only_sweep(clean_place).trials
        statuses.append([RunFolder(path).status for path in sorted(trials.glob("[0-9]*/"))])
        return take(place)

    monkeypatch.setattr(generation, "_take", look)
    sizes.clear()
    api.sweep("tune.yaml")
    assert statuses[1] == ["interrupted", "interrupted", "unfinished", "interrupted"]
    assert sizes[0] == 4
    assert results(clean_place) == expected


@pytest.mark.parametrize(("workers", "is_awaited"), [(3, False), (2, True)])
def test_workers_take_equal_shares_of_a_generation(clean_place: Path, workers: int, is_awaited: bool) -> None:
    write_config(clean_place, space=SPACE, sampler="grid", trials=16, generation=16)
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=Listeners(should_stop=lambda: signal.SIGTERM))
    sweep = read_sweep(only_sweep(clean_place))
    with sweep.open_study() as study, ExitStack() as held:
        place = worker.Workplace(sweep, study, FolderClaims(sweep.folder.trials), lambda: None, workers=workers)
        take_turn(place)
        other = FolderClaims(sweep.folder.trials).hold_wait() if is_awaited else None  # a worker of another command
        shares = []
        while claims := generation._take(place):
            shares.append(len(claims))
            for claim in claims:
                held.enter_context(claim)
        if other is not None:
            other.release()
    assert shares == [3, 3, 3, 3, 2, 2]


def test_trials_are_compared_only_when_all_values_are_known(clean_place: Path) -> None:
    write_config(clean_place, space=SPACE, sampler="grid", pruner=ASHA, trials=4, generation=4)
    with pytest.raises(Interrupted):
        api.sweep("tune.yaml", listeners=Listeners(should_stop=lambda: signal.SIGTERM))
    sweep = read_sweep(only_sweep(clean_place))
    with sweep.open_study() as study:
        place = worker.Workplace(sweep, study, FolderClaims(sweep.folder.trials), lambda: None)
        take_turn(place)
        trials = [Trial(study, trial._trial_id) for trial in place.read_all()]
        for number, trial in enumerate(trials):
            if number < 3:
                trial.report(0.1 * number, 1)
            trial.set_user_attr(REACHED, (1, 1, 1))  # of the last one, a reader has not yet seen the report
        take_turn(place)
        assert not any(KEPT in trial.user_attrs or read_end(trial) for trial in place.read_all())
        trials[3].report(0.3, 1)
        take_turn(place)
        assert all(KEPT in trial.user_attrs or read_end(trial) for trial in place.read_all())


def test_trials_are_stacked_unless_settings_forbid_it() -> None:
    kinds = [
        find_stackable(load_config("moons", overrides), DataCache()).kind
        for overrides in ([], ["optimizer.lr=0.5"], ["model.hidden_sizes=[3]"], ["training.together=never"])
    ]
    assert kinds[0] == kinds[1] not in (kinds[2], None)
    assert kinds[3] is None
