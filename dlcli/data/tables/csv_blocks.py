"""Blocks of a CSV file as texts: by polars where the structure is plain, by the csv module elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.ahead import map_ahead
from dlcli.data.tables.numbers import EXACT
from dlcli.data.tables.records import records, refuse_ragged, refuse_text
from dlcli.data.tables.sniff import Layout
from dlcli.data.tables.source import Source, Unusual

if TYPE_CHECKING:
    import polars as pl

_SLOW_ROWS = 10_000
_MOST_BLANKS = 100  # blanks and plus signs that are examined before a number
_SKIPPED = np.frombuffer(b" \t+", dtype=np.uint8)  # characters that may precede the digits of a number
_PART = 512 << 10  # bytes: small enough for the cache, large enough that threads rarely wait for each other


def fast_blocks(source: Source, layout: Layout, numbers: Collection[str]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield blocks of rows as texts without nulls, and whether each has neither quotes nor blank lines.

    Each row of a block without quotes and blank lines is one line. Columns are called "0", "1", … . polars accepts rows
    with too few fields and wrong quotes, reads blank lines as rows and CR as text; this function checks all of these.

    Args:
        source: File.
        layout: Layout of the file.
        numbers: Columns that have been numbers in all earlier blocks. They may be float64, with nulls for empty fields,
            in blocks where each of their values is unambiguously a number: parsing them directly takes half the time.

    Raises:
        Unusual: If the structure is not plain; `slow_blocks` then reads the file or refuses it.
    """
    width = len(layout.header)
    blocks = _plain_blocks(source, layout.header_end)
    for block in blocks:  # the first rows show which columns are numbers
        frame, in_step = plain_rows(block, layout.separator, width)
        yield frame, in_step
        if frame.height:
            break
    parses_numbers = True

    def parse(block: bytes, parsed: Sequence[str]) -> tuple[pl.DataFrame, bool]:
        nonlocal parses_numbers
        frame, in_step = plain_rows(block, layout.separator, width, parsed)
        parses_numbers = not parsed or frame[parsed[0]].dtype.is_float()  # if not, the next block would fail too
        return frame, in_step

    yield from map_ahead(parse, ((block, sorted(numbers) if parses_numbers else []) for block in blocks))


def _plain_blocks(source: Source, header_end: int) -> Iterator[bytes]:
    """Yield the blocks below the header.

    Raises:
        Unusual: If the header has other line endings than the rows.
    """
    # Header lines to skip. If the file ends after them without a line break, the last one is a separate block.
    left = header_end
    for block in source.blocks():
        if left and _has_lone_cr(block):  # lines of the header end with CR alone
            raise Unusual
        start = 0
        while left and start < len(block):
            start = block.find(b"\n", start) + 1 or len(block)
            left -= 1
        if start < len(block):
            yield block[start:] if start else block


def _has_lone_cr(block: bytes) -> bool:
    return b"\r" in block and block.count(b"\r") != block.count(b"\r\n")


def plain_rows(block: bytes, separator: str, width: int, numbers: Sequence[str] = ()) -> tuple[pl.DataFrame, bool]:
    """Return the rows of a block, and whether it has neither quotes nor blank lines; see `fast_blocks`.

    Raises:
        Unusual: If its structure is not plain.
    """
    mark = separator.encode()
    if width == 1 or len(mark) != 1 or b"\0" in block or _has_lone_cr(block):
        raise Unusual
    if b'"' in block:
        return _by_polars(block, mark, width, numbers), False
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    try:
        return _by_polars(block, mark, width, numbers), True
    except Unusual:  # blank lines are removed only now, because this takes as long as reading
        filled = re.sub(rb"\n\n+", b"\n", block).lstrip(b"\n")
        if len(filled) == len(block):
            raise
        frame = _frame([], width) if not filled else _by_polars(filled, mark, width)
        return frame, False


def _by_polars(block: bytes, separator: bytes, width: int, numbers: Sequence[str] = ()) -> pl.DataFrame:
    """Return the rows of a block, with `numbers` as float64 if all their values are unambiguously numbers.

    Raises:
        Unusual: If a row does not have `width` fields, or quotes are misplaced.
    """
    frame = None
    if numbers and not _has_leading_zeros(block, separator[0]):
        with suppress(Unusual):
            frame = _read_block(block, separator, width, numbers)
    if frame is None or not _are_plain(frame.select(numbers)):
        frame = _read_block(block, separator, width)
    if _count_separators(block, separator[0]) != frame.height * (width - 1):  # polars silently fills short rows
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


def _has_leading_zeros(block: bytes, separator: int) -> bool:
    """Return whether a field begins with 0 and a digit, such as 01234, after a quote, blanks or a plus sign.

    The result is also true if a number follows more blanks than are examined, and for some texts in quotes.
    """
    if re.match(rb'"?[ \t+]*0[0-9]', block):
        return True
    data = np.frombuffer(block, dtype=np.uint8)
    memory = np.empty((3, _PART), dtype=np.uint8)
    for start in range(0, len(data) - 2, _PART):
        n = min(_PART, len(data) - 2 - start)
        before, first, second = (data[start + i : start + i + n] for i in range(3))
        values, found, condition = memory[0, :n], memory[1, :n].view(np.bool_), memory[2, :n].view(np.bool_)
        np.equal(first, ord("0"), out=found)
        np.subtract(second, ord("0"), out=values)  # bytes wrap around: only digits are below 10
        found &= np.less(values, 10, out=condition)
        np.less_equal(before, ord(","), out=condition)  # true for blanks, +, quotes, line breaks, tabs and commas
        if separator > ord(","):
            condition |= before == separator
        found &= condition
        if found.any() and _begin_fields(data, start + np.flatnonzero(found), separator):
            return True
    return False


def _begin_fields(data: np.ndarray, places: np.ndarray, separator: int) -> bool:
    """Return whether a field or quotes begin at one of the places, or at blanks and plus signs that end there."""
    for _ in range(_MOST_BLANKS):
        before = data[places]
        if np.isin(before, (separator, ord("\n"), ord('"'))).any():
            return True
        places = places[np.isin(before, _SKIPPED)] - 1
        if not len(places):
            return False
    return True


def _count_separators(block: bytes, separator: int) -> int:
    """Return the number of separators outside quotes.

    Raises:
        Unusual: If quotes are misplaced.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    if b'"' in block:
        separators = np.flatnonzero(data == separator)
        opening, closing = (np.searchsorted(separators, quotes) for quotes in _paired_quotes(data, separator))
        return len(separators) - int((closing - opening).sum())
    starts = range(0, len(data), _PART)
    return sum(int(np.count_nonzero(data[start : start + _PART] == separator)) for start in starts)


def _are_plain(numbers: pl.DataFrame) -> bool:
    """Return whether the numbers are finite with a finite sum, and small enough for integers to be exact."""
    import polars as pl

    sums, low, high = (numbers.select(reduced).row(0) for reduced in (pl.all().sum(), pl.all().min(), pl.all().max()))
    extremes = (abs(value) for value in (*low, *high) if value is not None)
    return all(map(math.isfinite, sums)) and max(extremes, default=0) < EXACT


def _paired_quotes(data: np.ndarray, separator: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the opening and of the closing quotes; a doubled quote closes and opens.

    Raises:
        Unusual: If a quote neither opens or closes a field nor is doubled within one.
    """
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes) % 2:
        raise Unusual
    opening, closing = quotes[::2], quotes[1::2]
    opens = np.isin(data[opening - 1], (separator, ord("\n")))
    opens[0] |= opening[0] == 0
    closes = np.isin(data[np.minimum(closing + 1, len(data) - 1)], (separator, ord("\n"), ord("\r")))
    closes[-1] |= closing[-1] == len(data) - 1
    doubled = closing[:-1] + 1 == opening[1:]
    if not ((opens[1:] | doubled).all() and (closes[:-1] | doubled).all() and opens[0] and closes[-1]):
        raise Unusual
    return opening, closing


def slow_blocks(source: Source, layout: Layout, _: Collection[str]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """Yield blocks of rows like `fast_blocks`, with texts only, from any valid CSV file.

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
