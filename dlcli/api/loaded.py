"""Trained model as a Python object: predictions for new data, which need only the run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import Literal, ParamSpec, TypeVar

from torch import nn

from dlcli.api.arguments import checked
from dlcli.api.array_data import array_file
from dlcli.data.encoding import ColumnInfo
from dlcli.data.splits import DataInfo
from dlcli.evaluation.data import evaluate_data
from dlcli.evaluation.evaluate import EvalResult, evaluate
from dlcli.export.export import ExportResult, export
from dlcli.export.signature import Format
from dlcli.prediction.inputs import InputLike
from dlcli.prediction.predict import BadRows, Prediction
from dlcli.prediction.predictor import Predictor, build_predictor
from dlcli.prediction.result import Predictions, predict_values
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.training.isolation import isolated_function

P = ParamSpec("P")
R = TypeVar("R")


def _method(function: Callable[P, R]) -> Callable[P, R]:
    return isolated_function(checked(function, is_method=True))


class LoadedModel:
    """Trained model of a run, with the preprocessing of its data.

    Args:
        run: The run.
        predictor: Model and preprocessing of one of its checkpoints.
        checkpoint: Name of that checkpoint.
    """

    def __init__(self, run: Run, predictor: Predictor, checkpoint: Literal["best", "last"]) -> None:
        self._run, self._predictor, self._checkpoint = run, predictor, checkpoint

    @property
    def model(self) -> nn.Sequential:
        """Network on the CPU, from encoded and scaled inputs to logits or scaled values."""
        return self._predictor.model

    @property
    def info(self) -> DataInfo:
        """Description of the data that the model was trained on."""
        return self._predictor.info

    @property
    def features(self) -> tuple[ColumnInfo, ...]:
        """Columns that the model predicts from, in order; () for pixels."""
        return self._predictor.columns

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the probabilities; () for regression."""
        return self._predictor.info.class_names

    @_method
    def predict(self, data: InputLike, *, keep: Sequence[str] = (), bad_rows: BadRows = "stop") -> Predictions:
        """Return predictions for new examples; other rows and their order do not change a single bit of a prediction.

        Args:
            data: Path of a CSV, Parquet or NPZ file, a picture or a folder of pictures; a dict of columns, a list of
                dicts, a data frame (polars, pandas, pyarrow), or an array with the columns in the order of `features`,
                or of pixels. Values are in the unit of the training data; the target is not needed.
            keep: Columns of the data to show beside the predictions.
            bad_rows: `stop` refuses a row that cannot be used, `blank` leaves it without a prediction.

        Raises:
            DataError: If the data cannot be read, lacks a column, or has a row that cannot be used.
            UsageError: If the type of the data is not supported.
        """
        return predict_values(self._predictor, data, keep=keep, bad_rows=bad_rows)

    @_method
    def evaluate(self, data: InputLike | None = None) -> EvalResult:
        """Return the metrics on new labelled data, see `predict`, or on the run's test split.

        Args:
            data: Data with the column of the target, or a pair of arrays (X, y) as for `train`; None uses the
                test split.

        Raises:
            DataError: If the data cannot be used, or an example has no label or an unknown one.
        """
        if data is None:
            return evaluate(self._run, checkpoint=self._checkpoint)
        if isinstance(data, tuple) and len(data) == 2:
            with array_file(data) as file:
                return replace(evaluate_data(self._run, file, checkpoint=self._checkpoint), data="data")
        return evaluate_data(self._run, data, checkpoint=self._checkpoint)

    @_method
    def export(self, format: Format = "onnx", folder: str | os.PathLike[str] | None = None) -> ExportResult:  # noqa: A002
        """Write the model with its preprocessing as files that work without dlcli; see `dlcli.export.export.export`.

        Args:
            format: Format of the model.
            folder: Folder to write; None writes into the run folder.
        """
        return export(self._run, format, folder, checkpoint=self._checkpoint)

    def __repr__(self) -> str:
        info = self._predictor.info
        what = f"{len(info.class_names)} classes" if info.class_names else ", ".join(self._predictor.targets)
        return f"LoadedModel({self._run.path!r}: {info.in_features} inputs, {what})"

    def _repr_html_(self) -> str:
        rows = [
            ("run", self._run.path),
            ("data", self._predictor.info.name),
            ("predicts", ", ".join(self.class_names or self._predictor.targets)),
            ("from", ", ".join(column.name for column in self.features) or "pixels"),
        ]
        cells = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in rows)
        return f"<table>{cells}</table>"


def load(run: RunLike | None = None, *, checkpoint: Literal["best", "last"] = "best") -> LoadedModel:
    """Load the trained model of a run; only the run folder is needed.

    Args:
        run: Run folder, name, or result of a function such as `train`; None selects the newest run.
        checkpoint: Checkpoint with the parameters.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run or its checkpoint cannot be read.
    """
    opened = open_run(run)
    return LoadedModel(opened, build_predictor(opened.load_checkpoint(checkpoint)), checkpoint)


def predict_input(
    run: RunLike | None,
    source: InputLike,
    *,
    checkpoint: Literal["best", "last"] = "best",
    keep: Sequence[str] = (),
    bad_rows: BadRows = "stop",
    notify: Callable[[str], None] = lambda text: None,
) -> Prediction:
    """Return the predictions of a run for an input, which are computed in parts; see `Prediction`.

    Raises:
        UsageError: If there is no such run, or the input does not have a column to keep.
        DataError: If the run or the input cannot be read.
    """
    predictor = build_predictor(open_run(run).load_checkpoint(checkpoint))
    return Prediction(predictor, source, keep=keep, bad_rows=bad_rows, notify=notify)
