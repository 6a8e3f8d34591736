"""Encoding of table columns as model inputs: filled numbers and one-hot categories, fitted on the training examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.data.scaling import Scaling
from dlcli.data.tables.table import Column

UNKNOWN = -1.0  # code of a category that has no feature
_SHOWN = 10  # categories in a description
_ROWS = 4096  # rows per block, so that the comparison of categories needs little memory


@dataclass(frozen=True)
class ColumnInfo:
    """Description of a feature column, learned from the training examples; part of every checkpoint.

    Attributes:
        name: Name in the file.
        kind: Type of the column.
        fill: Value for missing numbers, in the unit of the column; 0 for categories.
        categories: Categories with a feature, in code-point order; () for numbers.
        has_missing: Whether missing is a category too, because training examples lack the value.
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
        missing: `median` fills numbers with the median of the training examples, all other values with their mean.
        min_frequency: Categories of fewer training examples share the feature `other`.
    """
    values = column.values[train]
    if column.kind in ("number", "boolean"):
        known = values[~np.isnan(values)]
        fill = 0.0 if not len(known) else float(np.median(known) if missing == "median" else known.mean())
        return ColumnInfo(column.name, column.kind, fill)
    counts = Counter(values.tolist())
    frequent = [code for code in sorted(counts) if code >= 0 and counts[code] >= min_frequency]
    return ColumnInfo(
        column.name,
        "category",
        categories=tuple(column.categories[code] for code in frequent),
        has_missing=-1 in counts,
        has_other=len(frequent) < sum(code >= 0 for code in counts),
    )


def raw_values(column: Column, info: ColumnInfo) -> np.ndarray:
    """Return a column as the encoder reads it: numbers, or codes of categories; NaN where the value is missing."""
    if column.kind in ("number", "boolean"):
        return column.values
    known = {category: float(code) for code, category in enumerate(info.categories)}
    codes = np.array([*(known.get(category, UNKNOWN) for category in column.categories), np.nan])
    return np.asarray(codes[column.values])  # the code -1 of a missing value selects the last entry


class Encoder(nn.Module):
    """Encoder of raw columns as model inputs, before scaling.

    A number becomes one feature, with the fill value where it is missing. A category becomes one feature for each
    category of the training examples, 1 for its own and 0 for the others. A category without a feature is 0 everywhere,
    or 1 in `other` if there is one.

    Args:
        columns: Columns in the order of the raw values.
    """

    def __init__(self, columns: Sequence[ColumnInfo]) -> None:
        super().__init__()
        rows: list[tuple[int, bool, float, float]] = []  # source column, whether a number, fill value, code
        for source, info in enumerate(columns):
            if info.kind != "category":
                rows.append((source, True, info.fill, 0.0))
                continue
            codes = [*map(float, range(len(info.categories)))]
            codes += [np.nan] * info.has_missing + [UNKNOWN] * info.has_other
            rows += [(source, False, 0.0, code) for code in codes]
        sources, numbers, fills, codes_ = zip(*rows, strict=True) if rows else ((), (), (), ())
        self.source: Tensor
        self.is_number: Tensor
        self.fill: Tensor
        self.code: Tensor
        self.register_buffer("source", torch.tensor(sources, dtype=torch.int64))
        self.register_buffer("is_number", torch.tensor(numbers, dtype=torch.bool))
        self.register_buffer("fill", torch.tensor(fills, dtype=torch.float64))
        self.register_buffer("code", torch.tensor(codes_, dtype=torch.float64))

    def forward(self, raw: Tensor) -> Tensor:
        """Encode raw columns, float64 of shape (N, columns), as inputs of shape (N, features)."""
        out = torch.empty(len(raw), len(self.source), dtype=torch.float64)
        for part, target in zip(raw.split(_ROWS), out.split(_ROWS), strict=True):
            values = part[:, self.source]
            missing = values.isnan()
            hits = (values == self.code) | (missing & self.code.isnan())
            target.copy_(torch.where(self.is_number, torch.where(missing, self.fill, values), hits.double()))
        return out


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
    """Return the categories of examples that training examples do not have, with their number of examples."""
    if info.kind != "category":
        return {}
    seen = set(info.categories)
    counts = Counter(column.values[rows].tolist())
    return {
        column.categories[code]: n
        for code, n in sorted(counts.items())
        if code >= 0 and column.categories[code] not in seen
    }
