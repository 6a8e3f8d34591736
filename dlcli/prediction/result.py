"""Predictions in memory, for Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcli.prediction.inputs import InputLike
from dlcli.prediction.output_columns import table_of
from dlcli.prediction.predict import BadRows, Prediction
from dlcli.prediction.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 10  # rows in a notebook


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for the rows of an input; `numpy.asarray` returns `values`.

    Attributes:
        values: P(class | x), or values in the target's unit: float64 of shape (rows, out_features); NaN where a row has
            no prediction.
        names: Names of the columns of `values`: classes, or targets.
        preds: Most likely class of each row, None where there is no prediction; () for regression.
        frame: Table with the columns of a CSV file of predictions.
        notes: Messages about filled values, unknown categories and rows without a prediction.
    """

    values: np.ndarray
    names: tuple[str, ...]
    preds: tuple[str | None, ...]
    frame: pl.DataFrame
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Predictions of {', '.join(self.names)} for {len(self):,} rows\n{self.frame.head(_SHOWN)}"

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return self.frame.head(_SHOWN)._repr_html_() + notes


def predict_values(
    predictor: Predictor, source: InputLike, *, keep: Sequence[str] = (), bad_rows: BadRows = "stop"
) -> Predictions:
    """Return the predictions for all rows of an input; see `Prediction`."""
    import polars as pl

    notes: list[str] = []
    prediction = Prediction(predictor, source, keep=keep, bad_rows=bad_rows, notify=notes.append)
    parts = list(prediction.parts())
    frame = pl.concat([table_of(prediction, part) for part in parts])
    is_class = predictor.info.task == "classification"
    return Predictions(
        values=np.concatenate([part.values for part in parts]),
        names=predictor.info.class_names if is_class else predictor.targets,
        preds=tuple(frame["pred"]) if is_class else (),
        frame=frame,
        notes=tuple(notes),
    )
