"""Number columns, collected block by block."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcli.data.tables.records import shown

if TYPE_CHECKING:
    import polars as pl

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MISSING_WORDS = ("NA", "N/A", "NaN", "null", "?", "-", "na", "n/a", "nan", "NAN", "NULL", "Null")
EXACT = 2**53  # every integer up to this one is exact in float64
LARGE = 1 << 20  # bytes from which memory is mapped instead of allocated by malloc
_HUGE_PAGE = 2 << 20  # bytes
_ALIGNED = 4 * _HUGE_PAGE  # with less memory, the last huge page would waste too much
_GROWTH = 8  # growth factor of full memory: few copies, and unfilled memory takes no space
_LEADING_ZERO = r"^\+?0[0-9]"
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_OTHER_MARK = re.compile(r"[+-]?\d+((,\d+)+(\.\d+)?|\.\d+)", re.ASCII)
_GROUPED = r"^[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?$"


@dataclass
class Numbers:
    """Values of a column so far, under the assumption that they are numbers.

    Attributes:
        name: Name of the column.
        column: Name of the column in the blocks.
        forced: Whether the user set the type of the column to number.
        growth: Factor by which full memory grows: the given one after the first block, `_GROWTH` later.
        numbers: Count of numbers.
        bad: Count of values that are neither numbers nor missing.
        first_bad: Row and text of the first bad value.
        bad_rows: Rows of all bad values, one array per block.
        words: Texts in the column that stand for missing values.
        reason: Why the column is not a number column although its values look like numbers.
    """

    name: str
    column: str
    forced: bool = False
    growth: int = _GROWTH
    numbers: int = 0
    bad: int = 0
    first_bad: tuple[int, str] = (0, "")
    bad_rows: list[np.ndarray] = field(default_factory=list, repr=False)
    words: set[str] = field(default_factory=set)
    reason: str = ""
    grouped: bool = False
    count: int = 0
    memory: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    def append(self, values: np.ndarray) -> None:
        """Append the float64 values of a block, NaN where missing."""
        end = self.count + len(values)
        if end > len(self.memory):
            larger = reserve(max(end, self.growth * len(self.memory)), np.dtype(np.float64), least=end)
            larger[: self.count] = self.values
            self.memory = larger
            self.growth = _GROWTH if self.count else self.growth
        self.memory[self.count : end] = values
        self.count = end

    @property
    def values(self) -> np.ndarray:
        """Values so far."""
        return self.memory[: self.count]

    @property
    def is_number(self) -> bool:
        """Whether this is a number column, perhaps with a few bad values that are errors."""
        if self.forced:
            return True
        if self.reason or (not self.numbers and (self.bad or self.words)):
            return False
        return self.bad == 0 or (self.bad == 1 and self.numbers > 1) or self.bad * 9 <= self.numbers

    @property
    def is_hopeless(self) -> bool:
        """Whether too many values are wrong for a number column."""
        return not self.forced and (bool(self.reason) or (self.bad > 1 and self.bad * 9 > self.numbers))

    @property
    def note(self) -> str:
        """Remark about the type."""
        if self.is_number:
            notes = [] if self.numbers else ["has no values"]
            notes += [f"{', '.join(sorted(self.words))} is missing here"] if self.words else []
            notes += ["points that separate thousands are removed"] if self.grouped else []
            notes += [self.reason] if self.forced and "digits" in self.reason else []
            return "; ".join(notes)
        row, text = self.first_bad
        if not self.numbers and _OTHER_MARK.fullmatch(text):
            return f"values such as {shown(text)} are no numbers with this decimal mark"
        if self.reason or not self.numbers:
            return self.reason
        numbers = "1 value is a number" if self.numbers == 1 else f"{self.numbers:,} values are numbers"
        return f"{numbers}; the first that is none is '{shown(text)}' in data row {row + 1:,}"


def reserve(count: int, dtype: np.dtype[Any], least: int = 0) -> np.ndarray:
    """Return uninitialized memory for `count` values, or for `least` values if the address space is too small.

    Large memory takes space only where it is filled, and the system gets all of it back when it is released. malloc
    would keep the memory of released columns in fragments between other columns.
    """
    size = count * dtype.itemsize
    if size < LARGE:
        return np.empty(count, dtype)
    try:
        if not hasattr(mmap, "MADV_HUGEPAGE"):  # not Linux
            return np.frombuffer(mmap.mmap(-1, size), dtype)
        if size > _ALIGNED:  # Linux aligns memory to huge pages only if it fills whole ones
            size = -(-size // _HUGE_PAGE) * _HUGE_PAGE
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return np.empty(least or count, dtype)
    with suppress(OSError):  # the kernel may lack huge pages, which save most page faults
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, count)


def add_numbers(
    columns: Sequence[Numbers], frame: pl.DataFrame, row: int, decimal: str, nulls: Collection[str] = ()
) -> None:
    """Add a block of texts to the columns; blanks around a value do not count.

    Args:
        columns: Columns of this type.
        frame: Block of texts, without nulls.
        row: Number of its first row.
        decimal: Decimal mark.
        nulls: Texts that the user calls missing, besides the usual words; a number stands for all of its spellings.
    """
    import polars as pl

    if not columns:
        return
    texts = frame.select([column.column for column in columns])
    if texts.dtypes[0].is_float():
        for column, series in zip(columns, texts, strict=True):
            column.numbers += len(series) - series.null_count()
            column.append(series.to_numpy())  # NaN for null
        return
    texts = _plain_texts(columns, texts, decimal, [text.strip() for text in nulls])
    floats = texts.select(pl.all().cast(pl.Float64, strict=False))
    sums, low, high = (floats.select(reduced).row(0) for reduced in (pl.all().sum(), pl.all().min(), pl.all().max()))
    zeros = _with_leading_zeros(texts)
    for index, column in enumerate(columns):
        text, values = texts.to_series(index), floats.to_series(index)
        if zeros[index] and not column.forced and not column.reason:
            example = text.filter(text.str.contains(_LEADING_ZERO) & values.is_not_null())
            column.reason = f"values with a leading zero, such as {shown(example[0])}" if len(example) else ""
        is_large = max(abs(low[index] or 0), abs(high[index] or 0)) >= EXACT
        if is_large and not column.reason:
            column.reason = _inexact(text, values)
        if math.isfinite(sums[index]) and not values.null_count():  # an overflowing sum takes the slow path
            column.numbers += len(text)
            column.append(values.to_numpy())
        else:
            _add_with_gaps(column, text, values, row)


def _plain_texts(columns: Sequence[Numbers], texts: pl.DataFrame, decimal: str, nulls: Sequence[str]) -> pl.DataFrame:
    """Remove blanks around texts, convert decimal commas to points, and empty texts that the user calls missing.

    Checks of how a value begins depend on this form.
    """
    import polars as pl

    texts = texts.select(pl.all().str.strip_chars())
    if nulls:
        texts = _emptied(texts, pl.all().is_in(nulls))
    if decimal == ",":
        texts = _with_points(columns, texts)
    if missing := [float(number) for text in nulls if NUMBER.fullmatch(number := text.replace(decimal, "."))]:
        texts = _emptied(texts, pl.all().cast(pl.Float64, strict=False).is_in(missing).fill_null(False))
    return texts


def _with_points(columns: Sequence[Numbers], texts: pl.DataFrame) -> pl.DataFrame:
    """Convert decimal commas of numbers to points; a text with any other point becomes a text that is not a number."""
    import polars as pl

    pointed = texts.select(pl.all().str.contains(".", literal=True).any()).row(0)
    series = []
    for column, text, has_points in zip(columns, texts, pointed, strict=True):
        comma = text.str.replace_all(",", ".", literal=True)
        if has_points:
            grouped = text.str.contains(_GROUPED)
            plain = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
            column.grouped = column.grouped or bool(grouped.any())
            comma = plain.zip_with(grouped, text.zip_with(text.str.contains(".", literal=True), comma))
            wrong = text.str.contains(".", literal=True) & ~grouped  # e.g. 1.5 in a column with decimal commas
            comma = (text + " (decimal point)").zip_with(wrong, comma)
        series.append(comma)
    return pl.DataFrame(series)


def _emptied(texts: pl.DataFrame, missing: pl.Expr) -> pl.DataFrame:
    import polars as pl

    return texts.select(pl.when(missing).then(pl.lit("")).otherwise(pl.all()).name.keep())


def _with_leading_zeros(texts: pl.DataFrame) -> list[bool]:
    """Return whether each column has values that begin with 0 and a digit, by comparisons, which are fast.

    -01 stays a number, because codes have no minus sign. +01 is not a number, because telephone numbers begin with +.
    """
    import polars as pl

    starts = [pl.all().is_between(pl.lit(f"{sign}00"), pl.lit(f"{sign}0:"), closed="left").any() for sign in ("", "+")]
    unsigned, signed = (texts.select(start).row(0) for start in starts)  # in ASCII, ":" follows "9"
    return [with_none or with_plus for with_none, with_plus in zip(unsigned, signed, strict=True)]


def _inexact(text: pl.Series, values: pl.Series) -> str:
    for number in text.filter((values.abs() >= EXACT) & values.is_finite()).unique(maintain_order=True):
        if _INTEGER.fullmatch(number) and abs(int(number.split(".")[0][:400])) > EXACT:
            return f"integers with more digits than a number keeps, such as {shown(number)}"
    return ""


def _add_with_gaps(column: Numbers, text: pl.Series, values: pl.Series, row: int) -> None:
    array = values.fill_null(float("nan")).to_numpy().copy()
    positions = np.flatnonzero(~np.isfinite(array))
    array[positions] = np.nan
    rest = text.gather(positions)
    gaps = rest.is_in(["", *MISSING_WORDS])
    column.words.update(set(rest.filter(gaps).unique()) - {""})
    wrong = positions[~gaps.to_numpy()]
    column.numbers += len(array) - len(positions)
    if len(wrong) and not column.bad:
        column.first_bad = (row + int(wrong[0]), text[int(wrong[0])].removesuffix(" (decimal point)"))
    column.bad += len(wrong)
    column.bad_rows.append(row + wrong)
    column.append(array)
