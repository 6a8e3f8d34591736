"""Blocks of a CSV file as texts: by polars where the structure is plain, by the csv module elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.numbers import EXACT
from dlcli.data.tables.records import records, refuse_ragged, refuse_text
from dlcli.data.tables.sniff import Layout
from dlcli.data.tables.source import Source, Unusual

if TYPE_CHECKING:
    import polars as pl

_SLOW_ROWS = 10_000
_MOST_BLANKS = 100  # before a number


def fast_blocks(source: Source, layout: Layout, numbers: Collection[str]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield blocks of rows as texts without nulls, and whether row numbers and lines keep in step.

    Columns are called "0", "1", … . polars neither checks the number of fields of a short row nor quotes, takes blank
    lines for rows and CR for text; all of this is checked here.

    Args:
        source: File.
        layout: Layout of the file.
        numbers: Columns that have been numbers in all earlier blocks. They may be float64, with nulls for empty fields,
            where each of their values is beyond doubt a number: parsing them directly takes half the time.

    Raises:
        Unusual: If the structure is not plain; `slow_blocks` then reads the file or refuses it.
    """
    width = len(layout.header)
    first, parses_numbers = True, True
    for block in source.blocks():
        if first and _has_lone_cr(block):  # the lines of the header end in another way
            raise Unusual
        plain = _without_lines(block, layout.header_end) if first else block
        parsed = [] if first or not parses_numbers else sorted(numbers)
        first = False
        if plain:
            frame, in_step = plain_rows(plain, layout.separator, width, parsed)
            parses_numbers = not parsed or frame[parsed[0]].dtype.is_float()  # the next block would fail too
            yield frame, in_step


def _has_lone_cr(block: bytes) -> bool:
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def _without_lines(block: bytes, count: int) -> bytes:
    position = 0
    for _ in range(count):
        position = block.find(b"\n", position) + 1
        if position == 0:
            return b""
    return block[position:]


def plain_rows(block: bytes, separator: str, width: int, numbers: Sequence[str]) -> tuple[pl.DataFrame, bool]:
    """Return the rows of a block, and whether it has neither quotes nor blank lines; see `fast_blocks`.

    Raises:
        Unusual: If its structure is not plain.
    """
    mark = separator.encode()
    if width == 1 or len(mark) != 1 or b"\0" in block or _has_lone_cr(block):
        raise Unusual
    if b'"' in block:
        return _by_polars(block, mark, width), False
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    try:
        return _by_polars(block, mark, width, numbers), True
    except Unusual:  # looked for only now: it takes as long as reading
        filled = re.sub(rb"\n\n+", b"\n", block).lstrip(b"\n")
        if len(filled) == len(block):
            raise
        frame = _frame([], width) if not filled else _by_polars(filled, mark, width)
        return frame, False


def _by_polars(block: bytes, separator: bytes, width: int, numbers: Sequence[str] = ()) -> pl.DataFrame:
    """Return the rows of a block, with `numbers` as float64 if all their values are beyond doubt numbers.

    Raises:
        Unusual: If a row has not `width` fields, or quotes are not in place.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    is_separator = data == separator[0]
    if b'"' in block:
        is_separator &= ~_inside_quotes(data, separator[0])
    frame = None
    if numbers and not _has_leading_zeros(block, is_separator):
        with suppress(Unusual):
            frame = _read_block(block, separator, width, numbers)
    if frame is None or not _are_plain(frame.select(numbers)):
        frame = _read_block(block, separator, width)
    if np.count_nonzero(is_separator) != frame.height * (width - 1):  # polars fills short rows in silence
        raise Unusual
    return frame


def _read_block(block: bytes, separator: bytes, width: int, numbers: Collection[str] = ()) -> pl.DataFrame:
    import polars as pl

    names = map(str, range(width))
    try:
        return pl.read_csv(
            block,
            has_header=False,
            schema={name: pl.Float64 if name in numbers else pl.String for name in names},
            separator=separator.decode(),
            infer_schema=False,
            empty_string_is_null=False,
            glob=False,
        )
    except pl.exceptions.PolarsError as error:
        raise Unusual from error


def _has_leading_zeros(block: bytes, is_separator: np.ndarray) -> bool:
    """Return whether a field without quotes begins with 0 and a digit, such as 01234, after blanks or a plus sign.

    Also true after more blanks than are looked at.
    """
    if re.match(rb"[ \t+]*0[0-9]", block):
        return True
    data = np.frombuffer(block, dtype=np.uint8)
    zeros = data[1:-1] == ord("0")
    zeros &= data[2:] - np.uint8(ord("0")) < 10  # bytes wrap around
    before = is_separator | (data == ord("\n"))
    if not any(byte in block for byte in (b" ", b"\t", b"+")):
        return bool((zeros & before[:-2]).any())
    skipped = (data == ord(" ")) | (data == ord("\t")) | (data == ord("+"))
    for _ in range(_MOST_BLANKS):
        if (zeros & before[:-2]).any():
            return True
        before[1:] = before[:-1] & skipped[1:]
        before[0] = False
        if not before.any():
            return False
    return True


def _are_plain(numbers: pl.DataFrame) -> bool:
    """Return whether all numbers are finite, and integers among them exact; a sum that overflows is not plain."""
    import polars as pl

    sums, low, high = (numbers.select(reduced).row(0) for reduced in (pl.all().sum(), pl.all().min(), pl.all().max()))
    extremes = (abs(value) for value in (*low, *high) if value is not None)
    return all(map(math.isfinite, sums)) and max(extremes, default=0) < EXACT


def _inside_quotes(data: np.ndarray, separator: int) -> np.ndarray:
    """Return which bytes lie inside quotes.

    Raises:
        Unusual: If a quote neither opens or closes a field nor is doubled within one.
    """
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes) % 2:
        raise Unusual
    padded = np.concatenate([[ord("\n")], data, [ord("\n")]]).astype(np.uint8)
    before, after = padded[quotes[::2]], padded[quotes[1::2] + 2]
    doubled = quotes[1:-1:2] + 1 == quotes[2::2]  # a closing quote directly before an opening one
    opens = np.isin(before, (separator, ord("\n")))
    opens[1:] |= doubled
    closes = np.isin(after, (separator, ord("\n"), ord("\r")))
    closes[:-1] |= doubled
    if not (opens.all() and closes.all()):
        raise Unusual
    return np.bitwise_xor.accumulate((data == ord('"')).view(np.uint8)).view(np.bool_)


def slow_blocks(source: Source, layout: Layout, _: Collection[str]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield blocks of rows like `fast_blocks`, all texts, from any valid CSV file.

    Raises:
        DataError: If a row has more or fewer fields than the header, or quotes are wrong.
    """
    rows: list[list[str]] = []
    width = len(layout.header)
    iterator = records(source, layout.separator)
    next(iterator, None)
    for line, fields in iterator:
        if any("\0" in text for text in fields):
            hint = "the file is damaged, or no text: write it again"
            refuse_text(source, layout.separator, lambda text: "\0" in text, "a NUL character", hint)
        if len(fields) != width:
            refuse_ragged(source, layout.separator, list(layout.header), line, fields)
        rows.append(fields)
        if len(rows) == _SLOW_ROWS:
            yield _frame(rows, width), False
            rows = []
    if rows:
        yield _frame(rows, width), False


def _frame(rows: list[list[str]], width: int) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(rows, schema={str(index): pl.String for index in range(width)}, orient="row")
