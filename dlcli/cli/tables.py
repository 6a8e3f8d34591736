"""Tables on stdout that fit the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dlcli.errors import visible
from dlcli.text import width_of

if TYPE_CHECKING:
    from rich.table import Column, Table
    from rich.text import Text


def narrow(table: Table, columns: int) -> Table:
    """Return a table that is at most `columns` wide; its rightmost columns are dropped if necessary.

    If two columns are still too wide, one is wrapped between words, or the second is written below the first.
    """
    while len(table.columns) > 2 and measure_width(table) > columns:
        del table.columns[-1]
    if measure_width(table) <= columns:
        return table
    for column in reversed(table.columns):
        room = columns - (measure_width(table) - _column_width(column))
        if room >= max(width_of(word) for text in _texts(column) for word in text.split()):
            column.no_wrap, column.width = False, room
            return table
    heading, *cells = (
        f"{first}\n  {second}".rstrip() for first, second in zip(*map(_texts, table.columns), strict=True)
    )
    return make_table([heading], [[cell] for cell in cells])


def measure_width(table: Table) -> int:
    """Return the width of a table whose cells are not wrapped."""
    return sum(map(_column_width, table.columns)) + table.padding[1] * (len(table.columns) - 1)


def _column_width(column: Column) -> int:
    return max(width_of(line) for text in _texts(column) for line in text.split("\n"))


def _texts(column: Column) -> list[str]:
    """Return the heading and the cells of a column."""
    return [str(column.header), *map(str, column.cells)]


def fitting_blocks(
    headings: Sequence[str], rows: Sequence[Sequence[str | Text]], *, gap: int = 2, columns: int | None = None
) -> list[list[int]]:
    """Split the columns of a table into several tables that fit the output; each of them has the first column.

    Args:
        headings: Headings of the columns.
        rows: Cells.
        gap: Spaces between columns.
        columns: Width of the output; None for a single table.

    Returns:
        Positions of the columns of each table.
    """
    widths = [
        max(width_of(line) for row in [headings, *rows] for line in _as_printed(str(row[i])).split("\n"))
        for i in range(len(headings))
    ]
    blocks: list[list[int]] = [[0]]
    for i in range(1, len(headings)):
        total = sum(widths[j] + gap for j in blocks[-1]) + widths[i]
        if columns is not None and len(blocks[-1]) > 1 and total > columns:
            blocks.append([0])
        blocks[-1].append(i)
    return blocks


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, gap: int = 2) -> Table:
    """Return a table of text; the first column is left-aligned, the others right-aligned.

    Args:
        headings: Headings of the columns, the least important last.
        rows: Cells.
        gap: Spaces between columns.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(
            Text(_as_printed(visible(heading))), justify="right" if i else "left", overflow="fold", no_wrap=True
        )
    for row in rows:
        cells = (Text(visible(cell)) if isinstance(cell, str) else cell for cell in row)
        table.add_row(*(Text(_as_printed(cell.plain), cell.style) for cell in cells))
    return table


def _as_printed(text: str) -> str:
    """Return text as stdout writes it: the replacement of a character that its encoding lacks may be wider."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, sys.stdout.errors or "strict").decode(encoding)
