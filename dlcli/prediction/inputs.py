"""Rows to predict for, in parts of bounded size, from tables in files, pipes and memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor

from dlcli.data.tables.numbers import MISSING_WORDS
from dlcli.errors import one_line
from dlcli.prediction.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl

    from dlcli.data.tables.source import Source

InputLike: TypeAlias = object  # a path, or values in memory; see `open_input`
_PART_ROWS = 1 << 14  # rows per part of values in memory


@dataclass(frozen=True)
class Part:
    """Consecutive rows of an input.

    Attributes:
        frame: Columns by name.
        pixels: Pixels of shape (rows, in_features); None for tables.
        place: Function that returns the place in the input, such as `new.csv:12`, of a row of the part, counted from 0.
        failures: Reason for each row that could not be read, by its index in the part.
    """

    frame: pl.DataFrame
    place: Callable[[int], str]
    pixels: Tensor | None = None
    failures: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frame.height if self.pixels is None else len(self.pixels)


class Input(ABC):
    """Rows to predict for.

    Attributes:
        name: Name in messages.
        columns: Names of the columns.
        shown: Names of columns that are always shown beside the predictions.
        skipped: Files that have been skipped so far because they are not pictures.
    """

    name: str
    columns: Sequence[str]
    shown: Sequence[str] = ()
    skipped: Sequence[str] = ()

    @abstractmethod
    def parts(self, wanted: Sequence[str], numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the rows in order.

        Args:
            wanted: Columns to read.
            numbers: Columns among `wanted` that may be float64 where each value is unambiguously a number.
        """


def null_values(predictor: Predictor) -> tuple[str, ...]:
    """Return the texts that the run calls missing."""
    nulls = getattr(predictor.data, "null_values", "auto")
    return () if nulls == "auto" else tuple(nulls)


class CsvInput(Input):
    """Rows of a CSV file or pipe."""

    def __init__(self, source: Source, predictor: Predictor) -> None:
        from dlcli.data.tables.sniff import find_layout

        decimal = getattr(predictor.data, "decimal", "auto")
        self._source, self.name = source, source.name
        self.nulls = null_values(predictor)
        missing = ("", *MISSING_WORDS, *self.nulls)
        usual = "." if decimal == "auto" else decimal
        names = [column.name for column in predictor.columns]
        self._layout = find_layout(source, "auto", "auto", missing, usual_decimal=usual, known=names)
        self.decimal, self.columns = self._layout.decimal, self._layout.header

    def parts(self, wanted: Sequence[str], numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the rows in order."""
        from dlcli.data.tables.stream import stream_csv

        plain = numbers if self.decimal == "." and not self.nulls else ()
        for part in stream_csv(self._source, self._layout, plain):
            yield Part(part.frame.select(wanted), _placing(self.name, part.line_of))


def _placing(name: str, line_of: Callable[[int], int]) -> Callable[[int], str]:
    return lambda row: f"{name}:{line_of(row)}"


class ParquetInput(Input):
    """Rows of a Parquet file."""

    def __init__(self, path: Path) -> None:
        from dlcli.data.tables.parquet import read_parquet_names

        self._path, self.name = path, one_line(str(path))
        self.columns = read_parquet_names(path)

    def parts(self, wanted: Sequence[str], _numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the rows in order."""
        from dlcli.data.tables.stream import stream_parquet

        for part in stream_parquet(self._path, wanted):
            yield Part(part.frame, _placing(self.name, part.line_of))


def _row_of(name: str, start: int, row: int) -> str:
    return f"{name}: row {start + row}"


class FrameInput(Input):
    """Rows in memory."""

    def __init__(self, frame: pl.DataFrame, name: str, pixels: Tensor | None = None) -> None:
        self._frame, self._pixels, self.name = frame, pixels, name
        self.columns = frame.columns

    def parts(self, wanted: Sequence[str], _numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the rows in order."""
        count = self._frame.height if self._pixels is None else len(self._pixels)
        for start in range(0, count, _PART_ROWS):
            rows = slice(start, min(start + _PART_ROWS, count))
            pixels = None if self._pixels is None else self._pixels[rows]
            frame = self._frame[rows].select(wanted)
            yield Part(frame, partial(_row_of, self.name, start), pixels)


class TemporaryInput(Input):
    """Input in a temporary file, which is deleted when its rows have been read."""

    def __init__(self, opened: Input, path: Path, name: str) -> None:
        self._opened, self._path = opened, path
        self.name = opened.name = name
        self.columns, self.shown, self.skipped = opened.columns, opened.shown, opened.skipped

    def parts(self, wanted: Sequence[str], numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the rows in order."""
        try:
            yield from self._opened.parts(wanted, numbers)
        finally:
            self._path.unlink()
