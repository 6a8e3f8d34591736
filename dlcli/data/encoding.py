"""Encoding of table columns as model inputs: filled numbers and one-hot categories, fitted on the training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.data.scaling import Scaling, to_safe_exponents
from dlcli.data.tables.table import Column

UNKNOWN = -1.0  # code of a category that has no feature
_SHOWN = 10  # categories in a description


@dataclass(frozen=True)
class ColumnInfo:
    """Description of a feature column, learned from the training examples; part of every checkpoint.

    Attributes:
        name: Name in the file.
        kind: Type of the column.
        fill: Value for missing numbers, in the unit of the column; 0 for categories.
        categories: Categories with a feature, in code-point order; () for numbers.
        has_missing: Whether missing values are a separate category, because some training examples have no value.
        has_other: Whether rare and new categories share a feature.
    """

    name: str
    kind: Literal["number", "boolean", "category"]
    fill: float = 0.0
    categories: tuple[str, ...] = ()
    has_missing: bool = False
    has_other: bool = False

    @property
    def features(self) -> list[str]:
        """Names of the model inputs that the column becomes."""
        if self.kind != "category":
            return [self.name]
        others = ["(missing)"] * self.has_missing + ["(other)"] * self.has_other
        return [f"{self.name}={category}" for category in (*self.categories, *others)]


def fit_column(column: Column, train: np.ndarray, missing: str, min_frequency: int) -> ColumnInfo:
    """Learn from the training examples how to encode a column.

    Args:
        column: Column with the values of all examples.
        train: Indices of the training examples.
        missing: How to fill missing numbers: with the median of the training examples if it is `median`, otherwise with
            their mean.
        min_frequency: Categories with fewer training examples share the feature `other`.
    """
    values = column.values.take(train)
    if column.kind in ("number", "boolean"):
        gaps = np.isnan(values)
        known = values[~gaps] if gaps.any() else values
        return ColumnInfo(column.name, column.kind, _center(known, missing) if len(known) else 0.0)
    counts = np.bincount(values + 1, minlength=len(column.categories) + 1)  # counts[0]: missing values
    frequent = np.flatnonzero(counts[1:] >= min_frequency)
    return ColumnInfo(
        column.name,
        "category",
        categories=tuple(column.categories[code] for code in frequent),
        has_missing=bool(counts[0]),
        has_other=len(frequent) < int(np.count_nonzero(counts[1:])),
    )


def _center(values: np.ndarray, how: str) -> float:
    safe, exponents = to_safe_exponents(values[np.newaxis])
    return float(np.ldexp(np.median(safe) if how == "median" else safe[0].mean(), exponents[0]))


def raw_values(column: Column, info: ColumnInfo) -> np.ndarray:
    """Return a column as the encoder reads it: numbers, or codes of categories; NaN where the value is missing."""
    if column.kind in ("number", "boolean"):
        return column.values
    known = {category: float(code) for code, category in enumerate(info.categories)}
    codes = np.array([*(known.get(category, UNKNOWN) for category in column.categories), np.nan])
    return np.asarray(codes[column.values])  # the code -1 of a missing value selects the last entry


class Encoder(nn.Module):
    """Encoder of raw columns as model inputs, before scaling.

    A number becomes one feature, with the fill value where it is missing. A categorical column becomes one feature for
    each category of the training examples: 1 if the value is this category, otherwise 0. A category without a feature
    is 0 everywhere, or 1 in `other` if there is one.

    Args:
        columns: Columns in the order of the raw values.
    """

    def __init__(self, columns: Sequence[ColumnInfo]) -> None:
        super().__init__()
        fills: list[float] = []
        codes: list[float] = []  # category of each feature; 0 for numbers
        sources: list[int] = []  # column of each feature
        self._spans: list[tuple[slice, bool]] = []  # features of each column, and whether it is a number
        for number, info in enumerate(columns):
            start = len(fills)
            column_codes = [0.0]
            if info.kind == "category":
                column_codes = [*map(float, range(len(info.categories)))]
                column_codes += [np.nan] * info.has_missing + [UNKNOWN] * info.has_other
            codes += column_codes
            fills += [info.fill] * len(column_codes)
            sources += [number] * len(column_codes)
            self._spans.append((slice(start, len(fills)), info.kind != "category"))
        self.fill: Tensor
        self.codes: Tensor
        self.source: Tensor
        self.is_number: Tensor
        self.register_buffer("fill", torch.tensor(fills, dtype=torch.float64))
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.float64))  # `code` is taken in exported modules
        self.register_buffer("source", torch.tensor(sources, dtype=torch.int64))
        numeric = [columns[number].kind != "category" for number in sources]
        self.register_buffer("is_number", torch.tensor(numeric, dtype=torch.bool))

    def forward(self, raw: Tensor) -> Tensor:
        """Encode raw columns, float64 of shape (N, columns), as inputs of shape (N, features)."""
        values = raw.index_select(1, self.source)
        return torch.where(self.is_number, _fill(values, self.fill), _one_hot(values, self.codes))

    def encode(self, column: int, values: Tensor) -> Tensor:
        """Return the features of a column, float64 of shape (features, N), for its raw values of shape (N,)."""
        span, is_number = self._spans[column]
        return (
            _fill(values, self.fill[span]).unsqueeze(0)
            if is_number
            else _one_hot(values, self.codes[span].unsqueeze(1))
        )

    def span(self, column: int) -> slice:
        """Return the features that a column becomes."""
        return self._spans[column][0]


def _fill(values: Tensor, fill: Tensor) -> Tensor:
    return torch.where(values.isnan(), fill, values)


def _one_hot(values: Tensor, codes: Tensor) -> Tensor:
    return ((values == codes) | (values.isnan() & codes.isnan())).double()


def describe_encoding(columns: Sequence[ColumnInfo], scaling: Scaling) -> list[tuple[str, str, str]]:
    """Return name, type and encoding of each column, such as `('age', 'number', '(x − 48.5) / 13.1')`.

    Args:
        columns: Columns in the order of the features.
        scaling: Scaling of the features.
    """
    n = sum(len(column.features) for column in columns)
    shifts, scales = ((values.expand(n) if n else values).tolist() for values in (scaling.shift, scaling.scale))
    described: list[tuple[str, str, str]] = []
    first = 0
    for column in columns:
        if column.kind == "category":
            names = [feature.removeprefix(f"{column.name}=") for feature in column.features]
            listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
            text = f"one-hot, {len(names)} features: {listed}"
        else:
            text = _describe_scaling(shifts[first], scales[first])
        described.append((column.name, column.kind, text))
        first += len(column.features)
    return described


def _describe_scaling(shift: float, scale: float) -> str:
    """Return (x − shift) / scale as text, without parts that change nothing."""
    text = "x"
    if shift:
        text = f"x {'−' if shift > 0 else '+'} {abs(shift):.4g}"
    if scale == 1:
        return text
    return f"{f'({text})' if shift else text} / {scale:.4g}"


def count_unknown(column: Column, info: ColumnInfo, rows: np.ndarray) -> dict[str, int]:
    """Return the categories without a feature that occur in `rows`, with their number of examples.

    These are categories that no training example has, unless rare categories share a feature, and `(missing)`.
    """
    if info.kind != "category":
        return {}
    known = {*column.categories} if info.has_other else {*info.categories}
    gaps, *counts = np.bincount(column.values[rows] + 1, minlength=len(column.categories) + 1).tolist()
    unknown = {name: n for name, n in zip(column.categories, counts, strict=True) if n and name not in known}
    return unknown | ({"(missing)": gaps} if gaps and not info.has_missing else {})
