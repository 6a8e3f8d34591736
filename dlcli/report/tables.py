"""What a page's tables are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Cell:
    """A cell that says more than its value.

    Attributes:
        value: What it shows.
        tint: 0 to 10, how dark its ground is; None for no ground.
        mark: A word behind the value, such as `best`.
        is_hit: Whether it stands for something right, in a matrix of right and wrong.
    """

    value: Any
    tint: int | None = None
    mark: str = ""
    is_hit: bool = False


Value: TypeAlias = "Cell | str | float | int | None"


@dataclass(frozen=True)
class Table:
    """A table whose rows begin with their heading.

    Attributes:
        caption: What it says, and how it is read.
        headings: Of the columns; the first is that of the rows' headings.
        rows: The first of each is its heading.
        over: A heading over all columns but the first.
        is_folded: Whether it is opened by the reader.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Value]]
    over: str = ""
    is_folded: bool = False

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, each value a cell."""
        return [[one if isinstance(one, Cell) else Cell(one) for one in row] for row in self.rows]

    def is_figure(self, column: int) -> bool:
        """Return whether a column holds figures, which stand right; the rows' headings stand left."""
        values = {type(row[column].value) for row in self.cells if row[column].value != ""}
        return column > 0 and bool(values & {int, float}) and values <= {int, float, type(None)}


@dataclass(frozen=True)
class Bar:
    """A figure drawn on a common scale.

    Attributes:
        name: Whose.
        values: The figures beside the bar.
        length: Of the bar, 0 to 100; None where the figure is unknown.
        interval: From and to, on the same scale.
        is_own: Whether it is the run's, not something to hold it against.
    """

    name: str
    values: Sequence[float | None]
    length: float | None
    interval: tuple[float, float] | None = None
    is_own: bool = False


@dataclass(frozen=True)
class Bars:
    """Figures side by side, the first of them drawn.

    Attributes:
        caption: What they are, and which way is better.
        headings: Of the figures.
        bars: A row each.
    """

    caption: str
    headings: Sequence[str]
    bars: Sequence[Bar] = field(default=())


def records_table(caption: str, records: Sequence[Mapping[str, Any]], *, is_folded: bool = False) -> Table:
    """Return records as a table; the first key's values head the rows."""
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [[record.get(name) for name in names] for record in records]
    return Table(caption, [label(name) for name in names], rows, is_folded=is_folded)


def matrix_table(
    caption: str,
    classes: Sequence[str],
    matrix: Sequence[Sequence[float | None]],
    shares: Sequence[Sequence[float | None]],
    *,
    is_folded: bool = False,
) -> Table:
    """Return a matrix of true classes by predicted ones.

    Args:
        caption: What it says.
        classes: In the order of rows and columns.
        matrix: What the cells show.
        shares: How dark their grounds are, 0 to 1.
        is_folded: Whether the reader opens it.
    """
    rows: list[list[Value]] = [
        [name, *(Cell(matrix[i][j], _tint(shares[i][j]), is_hit=i == j) for j in range(len(classes)))]
        for i, name in enumerate(classes)
    ]
    return Table(caption, ["true class", *classes], rows, over="predicted class", is_folded=is_folded)


def _tint(share: float | None) -> int:
    """Return 0 for nothing, else 1 to 10: one wrong example of many is to be seen too."""
    return max(1, round(10 * share)) if share else 0


_LABELS = {
    "macro_f1": "macro F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "ece": "expected calibration error",
    "mean_entropy": "mean entropy",
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
    """Return what a figure is called in a heading."""
    return _LABELS.get(name, name.replace("_", " "))
