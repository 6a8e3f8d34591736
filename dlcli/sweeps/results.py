"""Results of a sweep: its summary, its table of trials and the config of its best trial."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.schema import NonePruner, SweepSettings
from dlcli.errors import DataError
from dlcli.runs.files import encode_text, write_atomic, write_json
from dlcli.runs.folder import RunFolder
from dlcli.sweeps.records import Confirmation, SweepResult, TrialRecord, rank
from dlcli.sweeps.storage import quiet_optuna
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials

if TYPE_CHECKING:
    from optuna import Study


FEWEST_TRIALS = 10  # number of finished trials from which importances are meaningful
_BEST_TRIALS = 5


def measure_sweep(sweep: Sweep, study: Study, confirmation: Confirmation | None) -> SweepResult:
    """Return the results of a sweep so far."""
    records = read_trials(study, sweep)
    settings = sweep.settings
    ranked = rank(records, higher_is_better=sweep.loaded.is_maximized)
    found = Counter(record.state for record in records)
    found["waiting"] += settings.trials - len(records)
    has_ended = found["running"] + found["waiting"] == 0
    return SweepResult(
        sweep=str(sweep.folder.path),
        status="finished" if has_ended and (confirmation or not settings.confirm_seeds or not ranked) else "paused",
        metric=sweep.loaded.metric,
        trials={state: found[state] for state in ("finished", "pruned", "diverged", "running", "waiting")},
        best=ranked[0] if ranked else None,
        best_trials=ranked[:_BEST_TRIALS],
        epochs=_count_epochs(records, sweep),
        importances=_importances(study, len(ranked)),
        confirmation=confirmation,
        is_reproducible=is_reproducible(settings),
    )


def is_reproducible(settings: SweepSettings) -> bool:
    """Return whether workers of any number and speed produce the same trials."""
    if settings.generation is not None:
        return True
    return settings.sampler in ("random", "grid", "qmc") and isinstance(settings.pruner, NonePruner)


def _count_epochs(records: Sequence[TrialRecord], sweep: Sweep) -> dict[str, int]:
    return {
        "trained": sum(record.epochs for record in records),
        "saved": sum(saved_epochs(record, sweep) for record in records),
    }


def saved_epochs(record: TrialRecord, sweep: Sweep) -> int:
    """Return an upper bound of the number of epochs that pruning has saved in a trial."""
    if record.state != "pruned":
        return 0
    is_varied = any(key.partition(".")[0] == "training" for key in record.settings)
    # Validation of a config takes milliseconds, and there may be thousands of trials.
    config = sweep.config_of(record.settings).config if is_varied else sweep.loaded.base.config
    length = config.training.epochs or sweep.epochs
    return max(0, length * sweep.settings.seeds_per_trial - record.epochs)


def training_seconds(sweep: Sweep, records: Sequence[TrialRecord]) -> float | None:
    """Return the training time of all ended trials in seconds; None if some of their runs are on other machines."""
    times = [_seconds(sweep.folder.trial(record.number)) for record in records if record.has_ended]
    return None if None in times else sum(time or 0.0 for time in times)


def _seconds(run: Path) -> float | None:
    with suppress(DataError):
        seconds = RunFolder(run).read_summary().get("seconds")
        return seconds if isinstance(seconds, (int, float)) else None
    return None


def _importances(study: Study, finished: int) -> dict[str, float]:
    """Return the importance of each parameter that all trials have (fANOVA; Hutter et al., 2014)."""
    if finished < FEWEST_TRIALS:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # slow: a second to import sklearn

    with quiet_optuna(), suppress(ValueError, RuntimeError):  # all values are equal, or no parameter is common
        found: dict[str, float] = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
        return found
    return {}


def write_results(sweep: Sweep, study: Study, result: SweepResult) -> None:
    """Write the summary, the table of trials and the config of the best trial.

    Raises:
        DataError: If a file cannot be written.
    """
    records = read_trials(study, sweep)
    write_atomic(sweep.folder.table, encode_text(table_text(records, sweep)))
    if result.best is not None:
        write_atomic(sweep.folder.best, encode_text(best_text(sweep, result)))
    write_json(sweep.folder.summary, asdict(result))


def table_text(records: Sequence[TrialRecord], sweep: Sweep) -> str:
    """Return trials as CSV, with a column for each parameter, which is empty for trials without the parameter."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [parameter.name for parameter in sweep.space.parameters]
    writer.writerow(["trial", "state", "value", "best_epoch", "epochs", *names])
    for record in records:
        values = [record.parameters.get(name, "") for name in names]
        writer.writerow([record.number, record.state, record.value, record.best_epoch, record.epochs, *values])
    return text.getvalue()


def best_text(sweep: Sweep, result: SweepResult) -> str:
    """Return the config of the best trial as YAML, with a comment about its origin."""
    best = result.best
    assert best is not None, "a trial has finished"
    is_worse = result.confirmation is not None and result.confirmation.is_worse
    warning = "# With fresh seeds, it is worse than the unchanged config.\n" if is_worse else ""
    seeds = sweep.settings.seeds_per_trial
    first = sweep.loaded.base.config.seed
    mean = f", the mean over seeds {first} to {first + seeds - 1}" if seeds > 1 else ""
    return (
        f"# Best trial of the sweep {sweep.name}: trial {best.number} of {sweep.settings.trials}, "
        f"{sweep.loaded.metric} {best.value}{mean}.\n{warning}{sweep.loaded.config(best.settings).text}"
    )


def read_confirmation(record: Mapping[str, Any]) -> Confirmation | None:
    """Return the confirmation in the summary of a sweep, or None."""
    found = record.get("confirmation")
    return Confirmation(**{**found, "means": tuple(found["means"])}) if found else None
