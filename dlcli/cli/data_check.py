"""Page of `dlcli data check`: files, splits, columns, classes, first rows and findings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dlcli.cli.output import paragraph
from dlcli.cli.tables import fitting_blocks, make_table
from dlcli.errors import one_line
from dlcli.text import columns_of, width_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.data.check.finding import ColumnFigures, DataCheck, DataFinding

_MOST_COLUMNS, _MOST_SHOWN, _MOST_CLASSES = 100, 12, 50  # columns, columns of first rows, classes
_WIDEST = 40  # most characters of a cell
_LEAST = 16  # fewest characters of the column `values`; a terminal with less room does not show this column


def check_page(name: str, check: DataCheck) -> Iterator[RenderableType]:
    """Yield the parts of the page; wide tables lose their less important columns on a narrow terminal.

    Args:
        name: Data source, config or file as the user wrote it.
        check: Result of the check.
    """
    counts = ", ".join(f"{n:,} {part}" for part, n in check.splits.items())
    if not check.files:
        yield f"{name}: {counts}, verified"
        yield from (f"note: {note}" for note in check.notes)
        return
    for file, n in check.files.items():
        shown = min(file, os.path.relpath(file), key=len)
        yield f"{shown}: {n:,} {'pictures' if check.sizes else 'rows'}"
    if check.found:
        yield ", ".join(f"{name} {value!r}" for name, value in check.found.items())
    yield f"{counts}{', drawn ' if check.drawn else ''}{one_line(check.drawn)}"
    yield f"{check.task}, target {one_line(check.target)}"
    for table in (*_column_parts(check), *_class_parts(check), *_first_rows(check)):
        yield from ("", table)
    if check.notes:
        yield ""
    for note in check.notes:
        yield paragraph(one_line(note), start="note: ", indent="  ")
    n = len(check.findings)
    yield from ("", "1 finding" if n == 1 else f"{n or 'no'} findings")
    for finding in check.findings:
        yield from _finding_lines(finding)


def _column_parts(check: DataCheck) -> Iterator[RenderableType]:
    if check.columns:
        yield "columns, with figures of train and val:"
        yield _columns_table(check.columns[:_MOST_COLUMNS])
    if len(check.columns) > _MOST_COLUMNS:
        yield f"… {len(check.columns) - _MOST_COLUMNS:,} more columns; --json has all of them"
    if check.sizes:
        yield "\n".join(_counted(heading, counts) for heading, counts in (("size", check.sizes), ("mode", check.modes)))


def _counted(heading: str, counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{key} ({n:,})" for key, n in list(counts.items())[:5])
    return f"{heading}: {shown} and {len(counts) - 5:,} more" if len(counts) > 5 else f"{heading}: {shown}"


def _columns_table(columns: Sequence[ColumnFigures]) -> RenderableType:
    headings = ["column", "type", "missing", "distinct", "becomes"]
    rows = [
        [
            _short(column.name),
            column.type,
            f"{column.missing:,}",
            f"{column.distinct:,}",
            _short(column.becomes.partition(":")[0]),  # findings contain the reason to leave out a column
        ]
        for column in columns
    ]
    taken = sum(max(map(width_of, cells)) + 2 for cells in zip(headings, *rows, strict=True))
    room = min(_WIDEST, (columns_of(sys.stdout) or taken + _WIDEST) - taken)
    values = [_short(_values(column), max(room, _LEAST)) for column in columns]
    rows = [[*row, value] for row, value in zip(rows, values, strict=True)]
    table = make_table([*headings, "values"], rows)
    for i in (1, 4, 5):
        table.columns[i].justify = "left"
    return table


def _values(column: ColumnFigures) -> str:
    if column.low is not None and column.high is not None and column.mean is not None:
        return f"{column.low:.4g} to {column.high:.4g}, mean {column.mean:.4g}"
    return ", ".join(f"{text} {n:,}" for text, n in column.top.items())


def _short(text: str, most: int = _WIDEST) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _class_parts(check: DataCheck) -> Iterator[RenderableType]:
    parts, shown = list(check.splits), list(check.classes.items())[:_MOST_CLASSES]
    if shown:
        rows = [[_short(name), *(f"{counts[part]:,}" for part in parts)] for name, counts in shown]
        yield make_table(["class", *parts], rows)
    if len(check.classes) > len(shown):
        yield f"… {len(check.classes) - len(shown):,} more classes; --json has all of them"


def _first_rows(check: DataCheck) -> Iterator[RenderableType]:
    if not check.first_rows:
        return
    names = list(check.first_rows[0])[:_MOST_SHOWN]
    headings = ["example", *map(_short, names)]
    rows = [[str(i), *(_short(row[name]) for name in names)] for i, row in enumerate(check.first_rows, 1)]
    for block in fitting_blocks(headings, rows):
        yield make_table([headings[i] for i in block], [[row[i] for i in block] for row in rows])


def _finding_lines(finding: DataFinding) -> Iterator[str]:
    yield from ("", one_line(f"{finding.name}: {finding.column}" if finding.column else finding.name))
    for text in (finding.statement, finding.evidence, f"try: {finding.advice}"):
        yield paragraph(one_line(text), start="  ", indent="    ")
