"""Columns of new rows as the raw values that the encoder reads, with the rows that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.encoding import UNKNOWN, ColumnInfo, count_unknown, raw_values
from dlcli.data.tables.numbers import MISSING_WORDS, Numbers, add_numbers
from dlcli.data.tables.records import shown
from dlcli.data.tables.table import Column
from dlcli.data.tables.texts import BadTextError, Texts, empty_nulls
from dlcli.data.tables.typed_columns import plain_series, texts_of_numbers

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 5  # names in a note
_MOST_NAMES = 1000  # categories that are counted by name in each column


@dataclass(frozen=True)
class Reading:
    """Settings of a run that determine how values are read.

    Attributes:
        decimal: Decimal mark of numbers in texts.
        nulls: Texts that are missing values in every column, besides the empty text.
        fills_gaps: Whether a missing value is filled; otherwise its row cannot be used.
        allows_unknown: Whether a category without a feature is encoded as 0 in every feature; otherwise its row cannot
            be used.
    """

    decimal: str = "."
    nulls: tuple[str, ...] = ()
    fills_gaps: bool = True
    allows_unknown: bool = True


@dataclass
class Census:
    """Counts over all rows so far; rows that cannot be used count in `bad` only.

    Attributes:
        rows: Number of rows.
        filled: Filled values by column.
        unknown: Number of values of each category without a feature, by column. The key None counts all categories
            beyond the first `_MOST_NAMES`.
        bad: Number of rows that cannot be used.
        reasons: Number of rows that cannot be used, by reason.
    """

    rows: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, Counter[str | None]] = field(default_factory=dict)
    bad: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add_rows(self, count: int, bad: Mapping[int, BadValue]) -> None:
        """Count rows, and the rows among them that cannot be used."""
        self.rows += count
        self.bad += len(bad)
        self.reasons.update(value.reason for value in bad.values())

    def add_unknown(self, column: str, counts: Mapping[str, int]) -> None:
        """Count categories without a feature; only the first ones by name, because every row may have a new one."""
        known = self.unknown.setdefault(column, Counter())
        for name, count in counts.items():
            known[name if name in known or len(known) < _MOST_NAMES else None] += count

    def notes(self) -> list[str]:
        """Return a note for the filled values, the unknown categories and the rows left blank, where there are any."""
        notes = []
        if self.filled:
            notes.append(f"filled missing values: {_listed({shown(name): n for name, n in self.filled.items()})}")
        if self.unknown:
            columns = [f"column '{shown(name)}': {_quoted(counts)}" for name, counts in self.unknown.items()]
            notes.append(f"categories that no training example has: {'; '.join(columns)}; they are 0 in every feature")
        if self.bad:
            rows = "1 row has" if self.bad == 1 else f"{self.bad:,} rows have"
            notes.append(f"{rows} no prediction: {_listed(dict(self.reasons.most_common()))}")
        return notes


def _quoted(counts: Counter[str | None]) -> str:
    named = {f"'{shown(text)}'": count for text, count in counts.most_common() if text is not None}
    return _listed(named, are_all=None not in counts)


def _listed(counts: dict[str, int], *, are_all: bool = True) -> str:
    items = [f"{name} ({count:,})" for name, count in counts.items()]
    more = f" and {'' if are_all else 'at least '}{len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


@dataclass(frozen=True)
class BadValue:
    """First value of a row that cannot be used.

    Attributes:
        row: Index of the row in its part.
        column: Name of the column.
        problem: What is wrong, such as "has 'abc', which is not a finite number".
        reason: The problem without the value, for counts.
    """

    row: int
    column: str
    problem: str
    reason: str


def read_raw(
    frame: pl.DataFrame, infos: Sequence[ColumnInfo], reading: Reading, census: Census, file: str
) -> tuple[np.ndarray, dict[int, BadValue]]:
    """Return the raw values of rows, float64 of shape (rows, columns), and the rows that cannot be used.

    Args:
        frame: Columns by name, including all columns of `infos`; texts or typed values.
        infos: What was learned about the columns from the training examples.
        reading: How to read values.
        census: Counts to add to.
        file: Name of the input in messages.

    Raises:
        DataError: If the type of a column cannot be used.
    """
    reader = _Reader(frame.height, reading, file)
    series = {info.name: plain_series(file, frame[info.name]) for info in infos}
    columns = reader.numbers([series[info.name] for info in infos if info.kind == "number"])
    columns |= {info.name: reader.texts(series[info.name], info) for info in infos if info.kind != "number"}
    raw = np.empty((frame.height, len(infos)))
    for place, info in enumerate(infos):
        raw[:, place] = raw_values(columns[info.name], info)
        reader.check_gaps(raw[:, place], columns[info.name], info)
    good = np.ones(frame.height, dtype=bool)
    good[list(reader.bad)] = False
    _count(census, columns, infos, raw, good)
    census.add_rows(frame.height, reader.bad)
    return raw, reader.bad


def _count(
    census: Census, columns: dict[str, Column], infos: Sequence[ColumnInfo], raw: np.ndarray, good: np.ndarray
) -> None:
    rows = np.flatnonzero(good)
    for place, info in enumerate(infos):
        if info.kind != "category":
            if filled := int(np.isnan(raw[rows, place]).sum()):
                census.filled[info.name] += filled
        elif unknown := count_unknown(columns[info.name], info, rows):
            census.add_unknown(info.name, unknown)


class _Reader:
    """Reader of one part that collects the first bad value of each row."""

    def __init__(self, rows: int, reading: Reading, file: str) -> None:
        self._rows, self._reading, self._file = rows, reading, file
        self.bad: dict[int, BadValue] = {}

    def numbers(self, series: Sequence[pl.Series]) -> dict[str, Column]:
        """Return columns of numbers."""
        import polars as pl

        texts = [column for column in series if column.dtype == pl.String]
        columns = {column.name: self._from_typed(column) for column in series if column.dtype != pl.String}
        numbers = [Numbers(column.name, str(place), forced=True) for place, column in enumerate(texts)]
        frame = pl.DataFrame([column.fill_null("").alias(str(place)) for place, column in enumerate(texts)])
        add_numbers(numbers, frame, 0, self._reading.decimal, self._reading.nulls)
        for number, column in zip(numbers, texts, strict=True):
            self._refuse(np.concatenate([*number.bad_rows, np.zeros(0, dtype=int)]), column, "is not a finite number")
            columns[number.name] = Column(number.name, "number", number.values)
        return columns

    def _from_typed(self, series: pl.Series) -> Column:
        import polars as pl

        values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        self._refuse(np.flatnonzero(np.isinf(values)), series, "is not a finite number")
        return Column(series.name, "number", values)

    def texts(self, series: pl.Series, info: ColumnInfo) -> Column:
        """Return a column of categories or booleans."""
        import polars as pl

        if series.dtype == pl.Null:
            series = series.cast(pl.String)
        texts = series if series.dtype == pl.String else texts_of_numbers(series)
        texts = empty_nulls(texts.fill_null(""), self._reading.nulls)
        try:
            return _type_texts(texts, info)
        except BadTextError as error:
            self._refuse(error.rows, series, "is neither true nor false")
            known = np.ones(len(texts), dtype=bool)
            known[error.rows] = False
            emptied = pl.select(pl.when(pl.Series(known)).then(texts).otherwise(pl.lit(""))).to_series()
            return _type_texts(emptied, info)

    def check_gaps(self, raw: np.ndarray, column: Column, info: ColumnInfo) -> None:
        """Refuse missing values and unknown categories that the run does not allow."""
        has_feature = info.kind == "category" and info.has_missing
        if not self._reading.fills_gaps and not has_feature:
            self._refuse_all(np.flatnonzero(np.isnan(raw)), column, "has no value", "has no value")
        if info.kind == "category" and not self._reading.allows_unknown and not info.has_other:
            unknown = (raw == UNKNOWN) | (np.isnan(raw) & (not info.has_missing))
            for row in np.flatnonzero(unknown).tolist():
                text = "(missing)" if column.values[row] < 0 else column.categories[column.values[row]]
                reason = "which no training example has"
                self._refuse_all([row], column, f"has the category '{shown(text)}', {reason}", "has a new category")

    def _refuse(self, rows: np.ndarray, series: pl.Series, reason: str) -> None:
        for row in rows.tolist():
            problem = f"has '{shown(str(series[row]))}', which {reason}"
            self._refuse_all([row], series, problem, f"has a value that {reason}")

    def _refuse_all(self, rows: Sequence[int] | np.ndarray, column: Column | pl.Series, problem: str, why: str) -> None:
        for row in rows:
            self.bad.setdefault(int(row), BadValue(int(row), column.name, problem, f"'{shown(column.name)}' {why}"))


def _type_texts(texts: pl.Series, info: ColumnInfo) -> Column:
    column = Texts(info.name, info.name)
    column.add(texts)
    return column.column_of(MISSING_WORDS, info.kind)
