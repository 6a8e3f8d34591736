"""Decimal mark of CSV files: the one that fits the numbers of all columns of all files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.records import shown
from dlcli.data.tables.table import Table
from dlcli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_EXPONENT = "([eE][+-]?[0-9]+)?"
_GROUPED_POINT = r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+"
_GROUPED_COMMA = r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+"
_COMMA = rf"^([+-]?([0-9]+,[0-9]*|,[0-9]+){_EXPONENT}|{_GROUPED_POINT},[0-9]+)$"
_POINT = rf"^([+-]?([0-9]+\.[0-9]*|\.[0-9]+){_EXPONENT}|{_GROUPED_COMMA}\.[0-9]+)$"
_UNCLEAR = rf"^([+-]?[0-9]+|{_GROUPED_POINT}|{_GROUPED_COMMA})$"  # 1.234 is 1234 if the comma is the decimal mark
_SAMPLE = 1000


@dataclass
class MarkTally:
    """Counts of the texts of a column by the decimal mark that they need.

    Attributes:
        texts: Number of texts, without missing values.
        comma_fits: Number of texts that are numbers if the comma is the decimal mark.
        point_fits: Number of texts that are numbers if the point is the decimal mark.
        comma: First text that unambiguously has a decimal comma; "" if there is none.
        point: First text that unambiguously has a decimal point; "" if there is none.
        unclear: First text with a point that may be a decimal mark or separate thousands, such as 1.234.
    """

    texts: int = 0
    comma_fits: int = 0
    point_fits: int = 0
    comma: str = ""
    point: str = ""
    unclear: str = ""

    def add(self, texts: pl.Series, missing: Collection[str]) -> None:
        """Add a block of texts. Each distinct text counts once per block, without the blanks around it."""
        distinct = texts.str.strip_chars().unique(maintain_order=True)
        distinct = distinct.filter(~distinct.is_in(list(missing)))
        unclear = distinct.str.contains(_UNCLEAR)
        comma, point = (distinct.str.contains(pattern) & ~unclear for pattern in (_COMMA, _POINT))
        self.texts += len(distinct)
        self.comma_fits += int((comma | unclear).sum())
        self.point_fits += int((point | unclear).sum())
        self.comma = self.comma or _first(distinct, comma)
        self.point = self.point or _first(distinct, point)
        self.unclear = self.unclear or _first(distinct, unclear & distinct.str.contains(".", literal=True))

    def shows(self, mark: str) -> bool:
        """Return whether this is a column of numbers with this decimal mark; a few wrong values are reported later."""
        text, fits = (self.comma, self.comma_fits) if mark == "," else (self.point, self.point_fits)
        return bool(text) and 4 * fits >= 3 * self.texts

    @property
    def is_unclear(self) -> bool:
        """Whether this is a column of numbers whose points may be decimal marks or separate thousands."""
        return bool(self.unclear) and not self.comma and not self.point and 4 * self.point_fits >= 3 * self.texts


def _first(texts: pl.Series, chosen: pl.Series) -> str:
    found = texts.filter(chosen)
    return str(found[0]) if len(found) else ""


def guess_decimal(columns: Iterable[pl.Series], missing: Collection[str], otherwise: str = ".") -> str:
    """Return the decimal mark that the first values of columns show, preferably the comma; else return `otherwise`."""
    mark = otherwise
    for texts in columns:
        tally = MarkTally()
        if texts.str.contains(r"," if otherwise == "." else r"[.,]").any():
            tally.add(texts, missing)
        if tally.shows(","):
            return ","
        mark = "." if tally.shows(".") else mark
    return mark


def may_have_another_mark(tables: Sequence[Table], missing: Collection[str]) -> bool:
    """Return whether a file may have another decimal mark than its first rows show, or the marks of files differ."""
    return len({table.found["decimal"] for table in tables}) > 1 or any(_has_other(table, missing) for table in tables)


def may_have_thousands(table: Table) -> bool:
    """Return whether points that were read as decimal points may separate thousands."""
    has_points = table.found["decimal"] == "." and table.found["separator"] == ";"
    return has_points and any(_are_thousands(column.values) for column in table.columns.values() if column.is_numeric)


def _has_other(table: Table, missing: Collection[str]) -> bool:
    import polars as pl

    other = "," if table.found["decimal"] == "." else "."
    for column in table.columns.values():
        if column.kind in ("category", "text"):
            tally = MarkTally()
            if any(other in text for text in column.categories):
                tally.add(pl.Series(column.categories), missing)
            if tally.shows(other):
                return True
    return False


def _are_thousands(values: np.ndarray) -> bool:
    """Return whether there are fractional values, all from 1 to 1000 with at most three decimals, such as 1.234."""
    for part in (values[:_SAMPLE], values):
        fractions = part[part != np.floor(part)]  # NaN differs from itself, so this keeps it; the next line removes it
        fractions = np.abs(fractions[~np.isnan(fractions)])
        thousands = 1000 * fractions
        if not ((fractions >= 1) & (fractions < 1000) & (np.abs(thousands - np.round(thousands)) < 1e-6)).all():
            return False
    return len(fractions) > 0


def find_decimal(
    files: Mapping[str, Mapping[str, MarkTally]], locate: Callable[[str, str, str], int]
) -> tuple[str, dict[str, str]]:
    """Return the decimal mark of all files, and an example value of each column for which the mark is uncertain.

    Args:
        files: Columns by file, tallied from all rows.
        locate: Function that returns the line on which a value first occurs, given the file, the column and the value.

    Raises:
        DataError: If one column has decimal points and another decimal commas.
    """
    columns = [(file, name, tally) for file, tallies in files.items() for name, tally in tallies.items()]
    commas, points = ([(f, name) for f, name, tally in columns if tally.shows(mark)] for mark in ",.")
    if commas and points:
        (file, name), (other, comma) = points[0], commas[0]
        point, with_comma = files[file][name].point, files[other][comma].comma
        line, other_line = locate(file, name, point), locate(other, comma, with_comma)
        message = (
            f"{file}:{line}: column '{shown(name)}' has decimal points, such as '{shown(point)}'; "
            f"{other}:{other_line}: column '{shown(comma)}' has decimal commas, such as '{shown(with_comma)}'"
        )
        raise DataError(message, hint='type data.decimal="." or data.decimal=","')
    unclear = {} if commas or points else {name: tally.unclear for _, name, tally in columns if tally.is_unclear}
    return "," if commas else ".", unclear


def tally_marks(
    frames: Iterator[tuple[pl.DataFrame, bool]], names: Mapping[str, str], missing: Collection[str], to_point: bool
) -> dict[str, MarkTally]:
    """Return the tally of each column over all blocks.

    Args:
        frames: Blocks of rows.
        names: Names of the columns in the file by their names in the blocks.
        missing: Texts that are missing values.
        to_point: Whether to stop at the first block in which a column shows decimal points.
    """
    tallies = {name: MarkTally() for name in names.values()}
    for frame, _ in frames:
        for key, name in names.items():
            tallies[name].add(frame[key], missing)
            if to_point and tallies[name].shows("."):
                return tallies
    return tallies
