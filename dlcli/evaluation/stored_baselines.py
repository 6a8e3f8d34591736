"""Baselines of a run, with a cache for logistic regression in the run folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

from dlcli.errors import DataError
from dlcli.evaluation.baselines import (
    LOGISTIC_SETTINGS,
    Baseline,
    fit_logistic_regression,
    logistic_regression,
    majority_class,
    regression_baselines,
)
from dlcli.runs.files import read_json, write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.trained_run import SplitName, TrainedRun

_MUCH_WORK = 20_000_000  # input values in train × classes; takes about a second


def load_or_fit_baselines(folder: RunFolder, run: TrainedRun, notify: Callable[[str], None]) -> list[Baseline]:
    """Return the baselines of a run on its split.

    Reads logistic regression from `baselines.json` if that file has a valid entry. Otherwise fits it and saves the
    result, if the folder is writable.

    Args:
        folder: Run folder.
        run: Loaded run of that folder.
        notify: Called with a one-line message before a slow step.
    """
    if run.info.task == "regression":
        return regression_baselines(run)
    cached = _read_cache(folder)
    metrics = cached.get(run.split_name)
    if metrics is None:
        if run.splits.train.stored.numel() * run.info.out_features > _MUCH_WORK:
            notify("fitting logistic regression as a baseline; the result is cached in the run folder")
        metrics = fit_logistic_regression(run)
        _write_cache(folder, {**cached, run.split_name: metrics})
    return [majority_class(run), logistic_regression(metrics)]


def _read_cache(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Return the cached metrics of logistic regression by split, if they were made with the current settings.

    A run folder may come from an untrusted source: entries that dlcli would not have written are ignored.
    """
    try:
        record = read_json(folder.baselines)
    except DataError:
        return {}
    return {name: metrics for name in get_args(SplitName) if (metrics := _validate(record.get(name)))}


def _validate(record: Any) -> dict[str, float] | None:
    match record:
        case {"settings": settings, "logistic_regression": {"accuracy": float(accuracy), "log_loss": float(loss)}}:
            if settings == LOGISTIC_SETTINGS and 0 <= accuracy <= 1 and 0 <= loss < math.inf:
                return {"accuracy": accuracy, "log_loss": loss}
    return None


def _write_cache(folder: RunFolder, metrics: dict[str, dict[str, float]]) -> None:
    record = {name: {"settings": LOGISTIC_SETTINGS, "logistic_regression": values} for name, values in metrics.items()}
    with suppress(DataError):  # the folder may be read-only
        write_json(folder.baselines, record)
