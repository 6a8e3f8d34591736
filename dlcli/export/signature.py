"""Signature of an exported model: its inputs, outputs, encoding and origin, as the JSON file beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import numpy as np

from dlcli.data.encoding import ColumnInfo
from dlcli.prediction.predictor import Predictor

Format: TypeAlias = Literal["onnx", "torch", "safetensors"]
SIGNATURE = "signature.json"
MODEL_FILES: dict[Format, str] = {"onnx": "model.onnx", "torch": "model.pt2", "safetensors": "model.safetensors"}
MOST_INPUTS = 500  # up to this number of columns, an ONNX model has one input per column; above, two matrices
NUMBERS, TEXTS = "numbers", "categories"  # names of these two matrices
_SHOWN_DIGITS = 4


@dataclass(frozen=True)
class Signature:
    """Names, types and encoding of the inputs and outputs of an exported model.

    Attributes:
        format: Format of the model file.
        predictor: Model with its preprocessing.
        origin: Run, checkpoint and data that the model comes from, as JSON values.
    """

    format: Format
    predictor: Predictor
    origin: dict[str, Any]

    @property
    def columns(self) -> tuple[ColumnInfo, ...]:
        """Columns of the table that the model was trained on; () for other data."""
        return self.predictor.info.columns

    @property
    def has_columns_as_inputs(self) -> bool:
        """Whether the model file has one input for each column."""
        return self.format == "onnx" and 0 < len(self.columns) <= MOST_INPUTS

    @property
    def has_matrices(self) -> bool:
        """Whether the model file has one matrix of numbers and one of texts as inputs."""
        return self.format == "onnx" and len(self.columns) > MOST_INPUTS

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """Name, data type and shape of each input."""
        info = self.predictor.info
        if info.image_shape is not None:
            return [_value("pixels", "uint8", *info.image_shape)]
        if not info.columns:
            return [_value("features", "float64", info.in_features)]
        if self.has_columns_as_inputs:
            return [_value(column.name, "text" if is_text(column) else "float64") for column in info.columns]
        if self.has_matrices:
            count = sum(map(is_text, info.columns))
            matrices = [(NUMBERS, "float64", len(info.columns) - count), (TEXTS, "text", count)]
            return [_value(name, dtype, width) for name, dtype, width in matrices if width]
        return [_value("raw", "float64", len(info.columns))]

    @cached_property
    def outputs(self) -> list[dict[str, Any]]:
        """Name, data type and shape of each output; underscores are added to a name that an input already has."""
        info = self.predictor.info
        if info.task == "regression":
            return [_value(self._free("output"), "float64", info.out_features)]
        probabilities = _value(self._free("probabilities"), "float64", info.out_features)
        return [probabilities, _value(self._free("label"), "text")] if self.format == "onnx" else [probabilities]

    def _free(self, name: str) -> str:
        while any(name == item["name"] for item in self.inputs):
            name += "_"
        return name

    def to_dict(self) -> dict[str, Any]:
        """Return the content of signature.json."""
        info = self.predictor.info
        return {
            "dlcli_export": 1,
            "format": self.format,
            "file": MODEL_FILES[self.format],
            "task": info.task,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "columns": [_describe(column) for column in info.columns],
            "feature_names": list(info.feature_names) if not info.columns else [],
            "class_names": list(info.class_names),
            "target": {"name": info.target_name, "unit": info.target_unit},
            "versions": {name: version(name) for name in ("dlcli", "torch")},
            **self.origin,
        }

    @cached_property
    def example(self) -> np.ndarray:
        """One example, as in `RawModel.forward`: typical values for a table, zeros for other data."""
        info = self.predictor.info
        if info.columns:
            return np.array([[_usual_value(column) for column in info.columns]])
        if info.image_shape is not None:
            return np.zeros((1, *info.image_shape), dtype=np.uint8)
        return np.zeros((1, info.in_features))

    def example_columns(self) -> Iterator[tuple[str, str | float]]:
        """Yield the name and the value of each column in the example, as a user gives them."""
        for column, value in zip(self.columns, self.example[0].tolist(), strict=True):
            yield column.name, _text(column, value) if is_text(column) else value


def is_text(column: ColumnInfo) -> bool:
    """Return whether the values of a column are texts."""
    return column.kind == "category"


def _text(column: ColumnInfo, code: float) -> str:
    return "" if np.isnan(code) else column.categories[int(code)]


def _value(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": ["N", *shape]}


def _describe(column: ColumnInfo) -> dict[str, Any]:
    if not is_text(column):
        return {"name": column.name, "kind": column.kind, "fill": column.fill}
    codes = {category: code for code, category in enumerate(column.categories)}
    kinds = {"has_missing": column.has_missing, "has_other": column.has_other}
    return {"name": column.name, "kind": column.kind, "codes": codes, **kinds}


def _usual_value(column: ColumnInfo) -> float:
    if column.kind == "number":
        return float(f"{column.fill:.{_SHOWN_DIGITS}g}")
    if column.kind == "boolean":
        return float(column.fill >= 0.5)
    return 0.0 if column.categories else float("nan")
