"""The baselines of a run; what takes seconds to fit is kept in the run's folder."""

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

_MUCH_WORK = 20_000_000  # numbers in train times classes; about a second


def find_baselines(folder: RunFolder, run: TrainedRun, notify: Callable[[str], None]) -> list[Baseline]:
    """Return the baselines of a run on its split.

    Logistic regression is read from `baselines.json`, where it is there and says what dlcli writes there; else it is
    fitted and kept, if the folder can be written to.

    Args:
        folder: The run's.
        run: What is in it.
        notify: Told in a line what takes seconds, before it does.
    """
    if run.info.task == "regression":
        return regression_baselines(run)
    kept = _read_kept(folder)
    metrics = kept.get(run.split_name)
    if metrics is None:
        if run.splits.train.stored.numel() * run.info.out_features > _MUCH_WORK:
            notify("fitting logistic regression to compare with; it is kept in the run's folder")
        metrics = fit_logistic_regression(run)
        _keep(folder, {**kept, run.split_name: metrics})
    return [majority_class(run), logistic_regression(metrics)]


def _read_kept(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Return the metrics of logistic regression by split, those that it has by today's settings.

    A run folder may come from anywhere: what dlcli would not have written is passed over.
    """
    try:
        record = read_json(folder.baselines)
    except DataError:
        return {}
    return {name: metrics for name in get_args(SplitName) if (metrics := _checked(record.get(name)))}


def _checked(record: Any) -> dict[str, float] | None:
    match record:
        case {"settings": settings, "logistic_regression": {"accuracy": float(share), "log_loss": float(loss)}}:
            if settings == LOGISTIC_SETTINGS and 0 <= share <= 1 and 0 <= loss < math.inf:
                return {"accuracy": share, "log_loss": loss}
    return None


def _keep(folder: RunFolder, metrics: dict[str, dict[str, float]]) -> None:
    record = {name: {"settings": LOGISTIC_SETTINGS, "logistic_regression": one} for name, one in metrics.items()}
    with suppress(DataError):  # a folder that is only to be read
        write_json(folder.baselines, record)
