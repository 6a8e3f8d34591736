"""Trials of a sweep in its study."""

from __future__ import annotations

import math
from dataclasses import asdict

from optuna import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from dlcli.sweeps.records import TrialEnd, TrialRecord
from dlcli.sweeps.sweep import Sweep

_RESULT = "result"  # user attribute of a trial


def reopen_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that a worker has begun; its next values depend on the current state of all trials."""
    study._thread_local.cached_all_trials = None  # outdated: read when this process last asked for a trial
    return Trial(study, trial._trial_id)


def write_end(trial: Trial, end: TrialEnd) -> None:
    """Store the end of a trial in the study before Optuna gets its value; afterwards, no worker trains the trial.

    Diverged trials violate a constraint, so that samplers rank them below all others.
    """
    if end.state == "diverged":
        trial.set_constraint("diverged", 1.0)
    trial.set_user_attr(_RESULT, asdict(end))


def read_end(trial: FrozenTrial) -> TrialEnd | None:
    """Return the end of a trial; None if it has not ended."""
    record = trial.user_attrs.get(_RESULT)
    return None if record is None else TrialEnd(**record)


def read_trials(study: Study, sweep: Sweep, ended: dict[int, TrialRecord] | None = None) -> list[TrialRecord]:
    """Return the records of all trials of a sweep that were begun, by number.

    Args:
        study: Study of the sweep.
        sweep: Sweep of the study.
        ended: Records of trials that had ended before, which do not change; this function adds newly ended trials.
    """
    ended = {} if ended is None else ended
    trials = study.get_trials(deepcopy=False)[: sweep.settings.trials]
    records = [ended.get(trial.number) or _record(trial, sweep) for trial in trials]
    ended.update((record.number, record) for record in records if record.has_ended)
    return records


def _record(trial: FrozenTrial, sweep: Sweep) -> TrialRecord:
    end = read_end(trial)
    state = "waiting" if trial.state == TrialState.WAITING else "running"
    is_drawn = end is not None or trial.state.is_finished()
    return TrialRecord(
        trial.number,
        end.state if end else state,  # type: ignore[arg-type]
        end.value if end else None,
        end.best_epoch if end else None,
        end.epochs if end else 0,
        dict(trial.params),
        sweep.space.overrides(trial.params) if is_drawn else {},
        {epoch: value for epoch, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)},
    )
