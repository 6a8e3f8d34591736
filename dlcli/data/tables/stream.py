"""CSV and Parquet files, and standard input, as parts of a few megabytes, each with the lines of its rows."""

from __future__ import annotations

import csv
import io
import operator
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, TypeAlias

from dlcli.data.tables.csv_blocks import plain_rows
from dlcli.data.tables.parquet import scan_parquet
from dlcli.data.tables.records import shown
from dlcli.data.tables.sniff import Layout
from dlcli.data.tables.source import Source, Unusual
from dlcli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_PARQUET_ROWS = 20_000
BinaryReader: TypeAlias = "IO[bytes] | io.RawIOBase"
LineOf: TypeAlias = Callable[[int], int]


@dataclass(frozen=True)
class TablePart:
    """Consecutive rows of a table.

    Attributes:
        frame: Columns by name; texts, or numbers and other types.
        line_of: Returns the line of a row of this part, counted from 0.
    """

    frame: pl.DataFrame
    line_of: LineOf


class PipeSource(Source):
    """Table in a pipe, which can be read only once; the bytes read to find its layout are kept to be read again.

    Args:
        pipe: Binary stream.
        name: Name in messages.
    """

    def __init__(self, pipe: BinaryReader, name: str, encoding: str = "auto") -> None:
        self._tape = _Tape(pipe)
        super().__init__(Path(name), encoding, fits_memory=False)

    def open_raw(self) -> io.BufferedReader:
        """Return a reader from the start."""
        return io.BufferedReader(_TapeReader(self._tape), 1 << 16)

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks like `Source.blocks`; afterwards, nothing can be read again."""
        self._tape.keeps = False
        yield from super().blocks()


class _Tape:
    """Bytes of a pipe, kept from the start as long as `keeps` is true."""

    def __init__(self, pipe: BinaryReader) -> None:
        self.pipe, self.keeps = pipe, True
        self.kept = bytearray()


class _TapeReader(io.RawIOBase):
    def __init__(self, tape: _Tape) -> None:
        self._tape, self._position = tape, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        tape = self._tape
        data = bytes(tape.kept[self._position : self._position + len(buffer)])
        if not data:
            data = tape.pipe.read(len(buffer)) or b""
            if tape.keeps:
                tape.kept += data
        if not tape.keeps and self._position + len(data) >= len(tape.kept):
            tape.kept.clear()
            self._position = 0
        else:
            self._position += len(data)
        buffer[: len(data)] = data
        return len(data)


def stream_csv(source: Source, layout: Layout, numbers: Collection[str]) -> Iterator[TablePart]:
    """Yield the rows of a CSV file.

    Args:
        source: File or pipe.
        layout: Layout of the file or pipe.
        numbers: Columns that may be float64 where each of their values is unambiguously a number.

    Raises:
        DataError: If a row has more or fewer fields than the header, or quotes are wrong, with the line.
    """
    names = list(layout.header)
    keys = [str(place) for place, name in enumerate(names) if name in numbers]
    line, skipped = 1, layout.header_end
    for block in _decoded_blocks(source):
        block, skipped, line = _skip_lines(block, skipped, line)
        if not block:
            continue
        try:
            frame, in_step = plain_rows(block, layout.separator, len(names), keys)
            line_of: LineOf = partial(operator.add, line) if in_step else _Lines(source, layout, block, line)
        except Unusual:
            frame, line_of = _careful_rows(source, layout, block, line)
        line += block.count(b"\n")
        frame.columns = names
        if frame.height:
            yield TablePart(frame, line_of)


def _decoded_blocks(source: Source) -> Iterator[bytes]:
    try:
        yield from source.blocks()
    except UnicodeDecodeError as error:
        problem = f"bytes that are not {source.encoding.upper()}: {error.object[error.start : error.start + 4]!r}"
        hint = "save the file as UTF-8"
        raise DataError(f"{source.name}: the file has {problem}", hint=hint) from error
    except Unusual as error:
        message = f"{source.name}: a record is longer than 64 MB, probably after a quote that is never closed"
        raise DataError(message, hint='close the quote, or write a quote within a value twice: "5"" pipe"') from error


def _skip_lines(block: bytes, count: int, line: int) -> tuple[bytes, int, int]:
    """Return the rest of a block, the number of lines still to skip, and the line number at which the rest begins."""
    position = 0
    while count and position < len(block):
        end = block.find(b"\n", position) + 1
        if end == 0 and count and b"\r" in block[position:]:  # lines end with CR alone
            end = block.find(b"\r", position) + 1
        position = end or len(block)
        count, line = count - 1, line + 1
    return block[position:], count, line


class _Lines:
    """Function from rows to their lines, for a block with quotes or blank lines; the first call finds the lines."""

    def __init__(self, source: Source, layout: Layout, block: bytes, line: int) -> None:
        self._arguments = (source, layout, block, line)
        self._lines: list[int] = []

    def __call__(self, row: int) -> int:
        if not self._lines:
            self._lines = [line for line, _ in _records(*self._arguments)]
        return self._lines[row]


def _careful_rows(source: Source, layout: Layout, block: bytes, line: int) -> tuple[pl.DataFrame, LineOf]:
    """Return the rows of a block by the csv module."""
    import polars as pl

    lines: list[int] = []
    rows: list[list[str]] = []
    for place, fields in _records(source, layout, block, line):
        if len(fields) != len(layout.header):
            _refuse_ragged(source, layout, place, fields)
        lines.append(place)
        rows.append(fields)
    schema = {str(place): pl.String for place in range(len(layout.header))}
    return pl.DataFrame(rows, schema=schema, orient="row"), lines.__getitem__


def _records(source: Source, layout: Layout, block: bytes, line: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the fields of the records of a block that begins on `line`."""
    reader = csv.reader(io.StringIO(block.decode(), newline=""), delimiter=layout.separator, strict=True)
    end = 0
    try:
        for fields in reader:
            begin, end = line + end, reader.line_num
            if fields:
                yield begin, fields
    except csv.Error as error:
        reasons = {"unexpected end": "a quote that is never closed", "expected after": "text after a closing quote"}
        reason = next((text for key, text in reasons.items() if key in str(error)), str(error))
        hint = 'close the quote, or write a quote within a value twice: "5"" pipe"'
        raise DataError(f"{source.name}:{line + end}: the line has {reason}", hint=hint) from error


def _refuse_ragged(source: Source, layout: Layout, line: int, fields: Sequence[str]) -> NoReturn:
    width = len(layout.header)
    have = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    hint = "complete the line, or delete it"
    if len(fields) > width:
        hint = f"'{shown(fields[width])}' is one value too many: put values with the separator in quotes, \"a, b\""
    raise DataError(f"{source.name}:{line}: the line has {have} instead of {width}", hint=hint)


def stream_parquet(path: Path, columns: Sequence[str]) -> Iterator[TablePart]:
    """Yield the rows of a Parquet file.

    Args:
        path: Local file.
        columns: Names of the columns to read.

    Raises:
        DataError: If the file is damaged.
    """
    first = 1
    for part in scan_parquet(path, columns, _PARQUET_ROWS):
        yield TablePart(part, partial(operator.add, first))
        first += part.height
