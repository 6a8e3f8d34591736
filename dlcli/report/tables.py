"""Data structures for the tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any, Literal, NamedTuple, TypeAlias


class Bar(NamedTuple):
    """A bar below a row heading, and the ends of its confidence interval; both on a scale of 0 to 100."""

    length: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cell:
    """A table cell with optional shading, mark and bar.

    Attributes:
        tint: Darkness of the background, 0 to 10; None for no background.
        mark: Word after the value, such as `best`.
        is_hit: Whether the cell counts correct predictions in a confusion matrix.
        bar: Bar below the value.
    """

    value: Any
    tint: int | None = None
    mark: str = ""
    is_hit: bool = False
    bar: Bar | None = None


Value: TypeAlias = "Cell | str | float | int | None"
Matrix: TypeAlias = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Table:
    """A table whose first column contains the row headings.

    Attributes:
        headings: Column headings; the first is above the row headings.
        rows: Rows of values; the first value of each row is its heading.
        is_folded: Whether the table is collapsed until the reader opens it.
        kind: `matrix` for a confusion matrix, `bars` for models with bars (the run comes first), "" for other tables.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Value]]
    is_folded: bool = False
    kind: Literal["matrix", "bars", ""] = ""

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """The rows with each value converted to a cell."""
        return [[value if isinstance(value, Cell) else Cell(value) for value in row] for row in self.rows]

    def is_numeric(self, column: int) -> bool:
        """Return whether a column contains numbers, to be right-aligned; row headings are left-aligned."""
        return column in self._numeric

    @cached_property
    def _numeric(self) -> set[int]:
        """Columns with numbers; cached because the page asks for each cell."""
        kinds = [{type(cell.value) for cell in column if cell.value != ""} for column in zip(*self.cells, strict=True)]
        return {i for i, types in enumerate(kinds) if i and types & {int, float} and types <= {int, float, NoneType}}


def records_table(caption: str, records: Sequence[Mapping[str, Any]], *, is_folded: bool = False) -> Table:
    """Return records as a table; the values of the first key are the row headings."""
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [[record.get(name) for name in names] for record in records]
    return Table(caption, [label(name) for name in names], rows, is_folded=is_folded)


def matrix_table(caption: str, classes: Sequence[str], matrix: Matrix, shades: Matrix, *, is_folded: bool) -> Table:
    """Return a matrix of true by predicted classes; `shades` are the darkness of the cell backgrounds, 0 to 1."""
    rows: list[list[Value]] = [
        [name, *(Cell(matrix[i][j], _tint(shades[i][j]), is_hit=i == j) for j in range(len(classes)))]
        for i, name in enumerate(classes)
    ]
    return Table(caption, ["true class", *classes], rows, is_folded, "matrix")


def _tint(shade: float | None) -> int:
    """Return 0 for zero, else 1 to 10, so that a single error among many examples is visible."""
    return max(1, round(10 * shade)) if shade else 0


_LABELS = {
    "macro_f1": "macro F1",
    "brier_score": "Brier score",
    "ece": "expected calibration error",
    "mse": "MSE",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "f1": "F1",
    "support": "examples",
    "pred": "predicted",
    "label": "true",
    "index": "example",
}


def label(name: str) -> str:
    """Return the name of a metric in headings."""
    return _LABELS.get(name, name.replace("_", " "))
