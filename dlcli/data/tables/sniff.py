"""Separator, header and decimal mark of a CSV file, found by structure."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dlcli.data.tables.marks import guess_decimal
from dlcli.data.tables.records import records, shown
from dlcli.data.tables.source import Source
from dlcli.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
_ROWS = 200  # records looked at for the decimal mark
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """Layout of a CSV file.

    Attributes:
        separator: Separator between fields.
        decimal: Decimal mark, `.` or `,`; if it was not given, the mark of the first records.
        header: Column names, all different.
        header_end: Number of lines up to the end of the header.
    """

    separator: str
    decimal: str
    header: tuple[str, ...]
    header_end: int


def find_layout(
    source: Source,
    separator: str,
    decimal: str,
    missing: Sequence[str],
    *,
    usual_decimal: str = ".",
    known: Sequence[str] = (),
) -> Layout:
    """Return the layout; settings other than `auto` are taken as they are.

    Args:
        source: File.
        separator: Separator, or `auto`.
        decimal: Decimal mark, or `auto`.
        missing: Texts that are missing values.
        usual_decimal: Decimal mark if `decimal` is `auto`, no value shows the mark and the separator is not a comma.
        known: Names of the columns to read; () for all. The decimal mark is found from these columns only, and a header
            with one of these names may consist of numbers.

    Raises:
        DataError: If no or several layouts fit, or the header has duplicate or missing names.
    """
    if separator == "auto":
        separator = _find_separator(source)
    rows, header_line, header_end = _sample(source, separator, _ROWS)
    if not rows:
        next(records(source, separator), None)  # raises if the quotes of the header are wrong
        raise DataError(f"{source.name} is empty", hint="give a file with a line of column names and the data below")
    if re.fullmatch("sep=.?", separator.join(rows[0]).lower()):
        message = f"{source.name}:{header_line}: column 'sep=' is a mark for Excel, not a column name"
        raise DataError(message, hint="delete the first line: column names come first")
    header = _checked_header(source, header_line, rows[0], known)
    if decimal == "auto":
        import polars as pl

        whole = [fields for fields in rows[1:] if len(fields) == len(header)]
        columns = zip(header, zip(*whole, strict=True), strict=False)  # empty if no record is whole
        values = (pl.Series(texts) for name, texts in columns if not known or name in known)
        decimal = guess_decimal(values, missing, "." if separator == "," else usual_decimal)
    return Layout(separator, decimal, header, header_end)


def _sample(source: Source, separator: str, count: int) -> tuple[list[list[str]], int, int]:
    """Return the first records, the line of the header and the lines up to its end; wrong quotes end the sample."""
    rows: list[list[str]] = []
    start = end = 0
    with source.lines("replace") as lines:
        reader = csv.reader(lines, delimiter=separator, strict=True)
        try:
            for fields in reader:
                if fields and not rows:
                    end = reader.line_num
                if fields:
                    rows.append(fields)
                elif not rows:
                    start = reader.line_num
                if len(rows) == count:
                    break
        except csv.Error:
            pass  # reported with its place when the file is read
    return rows, start + 1, end


def _find_separator(source: Source) -> str:
    """Return the separator that splits each of the first records into the same number of fields, and into the most.

    If no separator does, return the one that splits most records into as many fields as the header.
    """
    fitting: dict[str, int] = {}
    partly: dict[str, float] = {}
    rows: list[list[str]] = []
    for separator in SEPARATORS:
        rows, _, _ = _sample(source, separator, 100)
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        share = sum(len(fields) == width for fields in rows[1:]) / max(1, len(rows) - 1)
        partly[separator] = share
        if share == 1 or len(rows) == 1:
            fitting[separator] = width
    if fitting:
        widest = max(fitting.values())
        best = [separator for separator, width in fitting.items() if width == widest]
        if len(best) > 1:
            names = " and ".join(repr(separator) for separator in best)
            hint = f"type data.separator={_quoted(best[0])} or data.separator={_quoted(best[1])}"
            raise DataError(f"{source.name}:1: both {names} separate the lines into {widest} fields", hint=hint)
        return best[0]
    if partly:
        return max(partly, key=lambda separator: partly[separator])
    _refuse_title(source)
    _refuse_blanks(source, rows)
    return ","


def _quoted(separator: str) -> str:
    return '"\\t"' if separator == "\t" else f'"{separator}"'


def _refuse_title(source: Source) -> None:
    """Raise DataError if all lines but the first have several fields."""
    for separator in SEPARATORS:
        rows, line, _ = _sample(source, separator, 100)
        widths = {len(fields) for fields in rows[1:]}
        if len(rows) > 2 and len(widths) == 1 and widths != {1}:
            name = shown(rows[0][0].strip())
            message = (
                f"{source.name}:{line}: column '{name}' is the only one; the lines below have {widths.pop()} fields"
            )
            hint = (
                'delete the lines above the column names, such as a title; for a single column, type data.separator="|"'
            )
            raise DataError(message, hint=hint)


def _refuse_blanks(source: Source, rows: list[list[str]]) -> None:
    """Raise DataError if the fields are separated by blanks."""
    widths = {len(fields[0].split()) for fields in rows}
    if len(rows) > 1 and len(widths) == 1 and widths != {1}:
        single = all(" ".join(fields[0].split()) == fields[0] for fields in rows)
        hint = 'type data.separator=" "' if single else "save the table with commas between the values"
        raise DataError(f"{source.name}:1: the values seem to be separated by blanks", hint=hint)


def _checked_header(source: Source, line: int, fields: list[str], known: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for name in fields]
    place = f"{source.name}:{line}:"
    if all(_NUMBER.fullmatch(name) for name in names) and {*names}.isdisjoint(known):
        message = (
            f"{place} column '{shown(names[0])}' and all others have numbers for names: the header seems to be missing"
        )
        raise DataError(message, hint=f"write a first line with the column names, such as {_example(len(names))}")
    unnamed = [index for index, name in enumerate(names) if not name]
    if len(unnamed) > 1:
        places = ", ".join(str(index + 1) for index in unnamed[:5])
        message = f"{place} column '' has no name; this is so for columns {places}"
        raise DataError(message, hint="write their names into the first line, or delete the columns")
    for index in unnamed:  # R and pandas write row names without a column name
        names[index] = f"column_{index + 1}"
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            message = f"{place} column '{shown(name)}' is there twice, as columns {seen[name] + 1} and {index + 1}"
            raise DataError(message, hint="give each column another name in the first line")
        seen[name] = index
    return tuple(names)


def _example(count: int) -> str:
    return ",".join("abcdefgh"[: min(count, 8)]) + (",…" if count > 8 else "")
