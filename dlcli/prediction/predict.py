"""Predictions for the rows of an input, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

import numpy as np
import torch

from dlcli.config.schema import TableData
from dlcli.config.suggest import closest
from dlcli.data.splits import DataInfo
from dlcli.data.tables.records import shown
from dlcli.errors import DataError, UsageError
from dlcli.prediction.input_columns import BadValue, Census, Reading, read_raw
from dlcli.prediction.inputs import Input, InputLike, Part, null_values
from dlcli.prediction.open import fitting_hints, open_input
from dlcli.prediction.predictor import Predictor

BadRows: TypeAlias = Literal["stop", "blank"]
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class PredictedPart:
    """Predictions for consecutive rows.

    Attributes:
        first: Index of the first row in the input, counted from 0.
        rows: Rows of the input, with the columns to keep and the true classes or values.
        raw: Raw values of the columns, or pixels.
        values: P(class | x), or values in the target's unit: float64 of shape (rows, out_features); NaN where a row has
            no prediction.
    """

    first: int
    rows: Part
    raw: torch.Tensor
    values: np.ndarray


class Prediction:
    """Predictions of a model for an input, computed part by part as they are asked for.

    Args:
        predictor: Model to predict with.
        source: Input; see `open_input`.
        keep: Columns of the input to show beside the predictions.
        bad_rows: `stop` raises an error if a row cannot be used; `blank` gives the row a blank prediction.
        notify: Called with a one-line message about the input.

    Attributes:
        input: The rows.
        targets: Columns of the true classes or values; () if the input does not have all of them.
        census: Counts over the rows so far.
        reading: How values are read.

    Raises:
        DataError: If the input cannot be read, or lacks a column.
        UsageError: If a column to keep is not in the input.
    """

    def __init__(
        self,
        predictor: Predictor,
        source: InputLike,
        *,
        keep: Sequence[str] = (),
        bad_rows: BadRows = "stop",
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.predictor, self._bad_rows, self._notify = predictor, bad_rows, notify
        with fitting_hints():
            self.input: Input = open_input(source, predictor)
        names = list(self.input.columns)
        self._check_columns(names)
        self.keep = tuple(dict.fromkeys([*self.input.shown, *keep]))
        self._check_kept(names)
        self.targets = predictor.targets if all(name in names for name in predictor.targets) else ()
        self.census = Census()
        self.reading = _reading(predictor, self.input)

    @property
    def info(self) -> DataInfo:
        """Description of the model's data."""
        return self.predictor.info

    def parts(self) -> Iterator[PredictedPart]:
        """Yield the predictions in the order of the rows; then pass the notes about the rows to `notify`."""
        columns = self.predictor.columns
        features = [column.name for column in columns]
        numbers = {column.name for column in columns if column.kind == "number"} - {*self.keep, *self.targets}
        wanted = list(dict.fromkeys([*features, *self.keep, *self.targets]))
        first = 0
        with fitting_hints():
            for part in self.input.parts(wanted, [name for name in features if name in numbers]):
                if len(part):
                    yield self._predict(part, first)
                first += len(part)
        if not first:
            self._refuse_nothing()
        for note in self._notes():
            self._notify(note)

    def _predict(self, part: Part, first: int) -> PredictedPart:
        bad = {row: BadValue(row, "", reason, "cannot be read") for row, reason in part.failures.items()}
        if part.pixels is None:
            name, columns = self.input.name, self.predictor.columns
            values, wrong = read_raw(part.frame, columns, self.reading, self.census, name)
            raw = torch.from_numpy(values)
            bad |= wrong
        else:
            raw = part.pixels
            self.census.add_rows(len(part), bad)
        if bad and self._bad_rows == "stop":
            self._refuse(part, bad)
        predictions = self.predictor.predict_raw(raw).numpy()
        predictions[list(bad)] = np.nan
        self._check_finite(predictions, bad, part)
        return PredictedPart(first, part, raw, predictions)

    def _refuse_nothing(self) -> NoReturn:
        if self.input.skipped:
            hint = "give a picture, a folder of pictures or an NPZ file"
            raise DataError(f"{self.input.name} is no picture and contains none", hint=hint)
        raise DataError(f"{self.input.name} has no rows", hint="give at least one example")

    def _refuse(self, part: Part, bad: dict[int, BadValue]) -> None:
        row = min(bad)
        value, others = bad[row], len(bad) - 1
        what = f"column '{shown(value.column)}' {value.problem}" if value.column else value.problem
        more = f"; at least {others:,} more {'row' if others == 1 else 'rows'} cannot be used" if others else ""
        hint = "correct it, or leave such rows without a prediction: --bad-rows blank"
        raise DataError(f"{part.place(row)}: {what}{more}", hint=hint)

    def _check_finite(self, predictions: np.ndarray, bad: dict[int, BadValue], part: Part) -> None:
        wrong = ~np.isfinite(predictions).all(1)
        wrong[list(bad)] = False
        if wrong.any():
            message = f"{part.place(int(wrong.argmax()))}: the prediction is not a finite number"
            raise DataError(message, hint="the inputs are far outside of the training data, or the training diverged")

    def _notes(self) -> list[str]:
        skipped = self.input.skipped
        files = "1 file that is no picture" if len(skipped) == 1 else f"{len(skipped):,} files that are no pictures"
        notes = [f"skipped {files}: {_listed(skipped)}"] if skipped else []
        return [*notes, *self.census.notes()]

    def _check_columns(self, names: Sequence[str]) -> None:
        features = [column.name for column in self.predictor.columns]
        known = {*names}
        if missing := [name for name in features if name not in known]:
            guess = closest(missing[0], [name for name in names if name not in features])
            hint = (
                f"did you mean '{shown(guess)}'? Name it as in training"
                if guess
                else f"columns: {_listed(names) or 'none'}"
            )
            more = f"; the model also needs {_listed(missing[1:])}" if missing[1:] else ""
            raise DataError(f"{self.input.name} has no column '{shown(missing[0])}'{more}", hint=hint)
        if unused := [name for name in names if name not in {*features, *self._other_columns()}]:
            self._notify(f"columns that the model does not use: {_listed(unused)}")

    def _other_columns(self) -> list[str | None]:
        """Return columns that need no note: targets, columns always shown, and columns that training left out."""
        data = self.predictor.data
        known: list[str | None] = [*self.predictor.targets, *self.input.shown]
        if isinstance(data, TableData):
            known += [*data.ignore, data.time, data.group, data.split]
        return known

    def _check_kept(self, names: Sequence[str]) -> None:
        for name in self.keep:
            if name not in names:
                guess = closest(name, list(names))
                hint = f"did you mean '{shown(guess)}'?" if guess else f"columns: {_listed(names)}"
                raise UsageError(f"{self.input.name} has no column '{shown(name)}' to keep", hint=hint)


def _reading(predictor: Predictor, source: Input) -> Reading:
    data = predictor.data
    if not isinstance(data, TableData):
        return Reading(fills_gaps=False)
    return Reading(
        decimal=getattr(source, "decimal", "."),
        nulls=null_values(predictor),
        fills_gaps=data.missing in ("mean", "median"),
        allows_unknown=data.unknown == "warn",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(shown(name) for name in names[:_SHOWN]) + more
