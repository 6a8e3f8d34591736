"""Columns of the files and records of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.records import shown
from dlcli.errors import UsageError
from dlcli.prediction.predict import PredictedPart, Prediction
from dlcli.prediction.truth import labels_of, values_of

if TYPE_CHECKING:
    import polars as pl


def table_of(prediction: Prediction, part: PredictedPart) -> pl.DataFrame:
    """Return predictions as the columns of CSV and Parquet files.

    These are `index`, the columns to keep, then `label`, `pred` and `prob_CLASS` for each class, or `target` and
    `output`; with several targets `target_NAME` and `output_NAME` for each. `label` and `target` are there only if the
    input has the true classes or values.
    """
    import polars as pl

    info, frame, values = prediction.info, part.rows.frame, part.values
    series = [pl.Series("index", np.arange(part.first, part.first + len(values)))]
    series += [frame[name] for name in prediction.keep]
    if info.task == "classification":
        labels = labels_of(prediction, part)
        series += [] if labels is None else [labels]
        series += [pl.Series("pred", _predicted(prediction, values), dtype=pl.String)]
        series += [_column(f"prob_{name}", values[:, place]) for place, name in enumerate(info.class_names)]
    else:
        names = [f"_{name}" for name in prediction.predictor.targets] if values.shape[1] > 1 else [""]
        truth = values_of(prediction, part)
        series += [] if truth is None else [_column(f"target{n}", truth[:, i]) for i, n in enumerate(names)]
        series += [_column(f"output{name}", values[:, place]) for place, name in enumerate(names)]
    _check_names([column.name for column in series])
    return pl.DataFrame(series)


def records_of(prediction: Prediction, part: PredictedPart) -> pl.DataFrame:
    """Return predictions as the keys of JSON objects.

    These are `index`, `kept` with the columns to keep, then `label`, `pred` and `probs` by class, or `target` and
    `output`, which are lists if there are several targets. `label` and `target` are there only if the input has the
    true classes or values.
    """
    import polars as pl

    info, frame, values = prediction.info, part.rows.frame, part.values
    series = [pl.Series("index", np.arange(part.first, part.first + len(values)))]
    if prediction.keep:
        series.append(frame.select(prediction.keep).to_struct("kept"))
    if info.task == "classification":
        probs = pl.DataFrame([_column(name, values[:, place]) for place, name in enumerate(info.class_names)])
        is_blank = np.isnan(values[:, 0])
        known = pl.select(pl.when(pl.Series(~is_blank)).then(probs.to_struct("probs"))).to_series().alias("probs")
        series += [known, pl.Series("pred", _predicted(prediction, values), dtype=pl.String)]
        labels = labels_of(prediction, part)
        series += [] if labels is None else [labels]
    else:
        series.append(_outputs("output", values))
        truth = values_of(prediction, part)
        series += [] if truth is None else [_outputs("target", truth)]
    return pl.DataFrame(series)


def _outputs(name: str, values: np.ndarray) -> pl.Series:
    import polars as pl

    if values.shape[1] == 1:
        return _column(name, values[:, 0])
    return pl.Series(name, [None if np.isnan(row).any() else row.tolist() for row in values])


def _column(name: str, values: np.ndarray) -> pl.Series:
    """Return values with null for NaN."""
    import polars as pl

    return pl.Series(name, np.ascontiguousarray(values)).fill_nan(None)


def _predicted(prediction: Prediction, values: np.ndarray) -> list[str | None]:
    """Return the most likely class of each row; None where there is no prediction."""
    names = prediction.info.class_names
    best = np.where(np.isnan(values[:, 0]), -1, np.nan_to_num(values).argmax(1))
    return [names[place] if place >= 0 else None for place in best.tolist()]


def _check_names(names: list[str]) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        message = f"the column to keep '{shown(twice)}' has the name of a column of predictions"
        raise UsageError(message, hint="rename it in the input, or leave it out of --keep")
