"""Records of a CSV file with their lines, read by the csv module, which decides about structure and places."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NoReturn

from dlcli.data.tables.source import Source
from dlcli.errors import DataError, one_line

_DELETE_TITLE = "delete the lines above the column names, such as a title"
_MAX_VALUE = 60  # characters of a value shown in messages


def records(source: Source, separator: str, errors: str = "strict") -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of every record that is not blank, the header first.

    `line` is the line on which the record begins, counted from 1.

    Raises:
        DataError: If a quote is not closed, or a closing quote is followed by anything but a separator.
    """
    with source.lines(errors) as lines:
        reader = csv.reader(lines, delimiter=separator, strict=True)
        end = 0
        try:
            for fields in reader:
                line, end = end + 1, reader.line_num
                if fields:
                    yield line, fields
        except csv.Error as error:
            _refuse(source, end + 1, separator, error)


def _refuse(source: Source, line: int, separator: str, error: csv.Error) -> NoReturn:
    reason = str(error)
    place = f"{source.name}:{line}: column '{_column_of_quote(source, line, separator)}'"
    if "unexpected end" in reason:
        message = f"{place} has a quote that is never closed"
        raise DataError(message, hint='close the quote, or write a quote within a value twice: "5"" pipe"')
    if "expected after" in reason:
        message = f"{place} has text after a closing quote"
        raise DataError(message, hint='write a quote within a value twice: "5"" pipe"')
    if "field limit" in reason:
        message = (
            f"{place} has more than {csv.field_size_limit():,} characters, perhaps after a quote that is not closed"
        )
        raise DataError(message, hint="close the quote, or shorten the value")
    raise DataError(f"{place} cannot be read: {one_line(reason)}", hint="correct the line")


def _column_of_quote(source: Source, line: int, separator: str) -> str:
    """Return the name of the first column whose quoting is wrong in the record that begins on `line`."""
    with source.lines("replace") as lines:
        reader = csv.reader(lines, delimiter=separator)
        header = next((fields for fields in reader if fields), [])
    with source.lines("replace") as lines:
        text = "".join(islice(lines, line - 1, line + 1000))
    for index in range(len(header) + 1):
        begin = text.lstrip("\r\n") if index == 0 else text
        end = _end_of_field(begin, separator)
        if end is None:
            return shown(header[index]) if index < len(header) else str(index + 1)
        text = begin[end:]
    return shown(header[-1]) if header else "1"


def _end_of_field(text: str, separator: str) -> int | None:
    """Return where the field after the first one begins; None if the first one is quoted wrongly."""
    position = 0
    if text.startswith('"'):
        position = 1
        while (position := text.find('"', position)) >= 0 and text[position + 1 : position + 2] == '"':
            position += 2
        position += 1
        if position == 0 or text[position : position + 1] not in (separator, "\r", "\n", ""):
            return None
    end = text.find(separator, position)
    return len(text) if end < 0 else end + 1


def locate_text(source: Source, separator: str, column: int, text: str) -> int:
    """Return the line of the first record with `text`, ignoring blanks around it, in a column; 0 if there is none."""
    for line, fields in islice(records(source, separator, "replace"), 1, None):
        if column < len(fields) and fields[column].strip() == text:
            return line
    return 0


def locate_row(source: Source, separator: str, row: int) -> int:
    """Return the line on which data row `row`, counted from 0, begins."""
    for line, _ in islice(records(source, separator, "replace"), row + 1, None):
        return line
    raise DataError(f"{source.name} has changed since it was read", hint="start again when the file is complete")


def refuse_ragged(source: Source, separator: str, header: list[str], line: int, fields: list[str]) -> NoReturn:
    """Raise the error about a record with fewer or more fields than the header.

    Args:
        source: File.
        separator: Separator between fields.
        header: Column names.
        line: Line of the first record with a wrong number of fields.
        fields: Fields of this record.
    """
    others: list[list[str]] = []  # surplus field of each wrong record; [] unless it has exactly one too many
    whole = 0
    widths: set[int] = set()  # numbers of fields of the wrong records
    try:
        for _, record in records(source, separator, "replace"):
            if len(record) == len(header):
                whole += 1
            else:
                others.append(record[-1:] if len(record) == len(header) + 1 else [])
                widths.add(len(record))
    except DataError:
        pass  # only the first problem is reported
    more = len(others) - 1
    count = "" if more <= 0 else f"; {more:,} more {'line differs' if more == 1 else 'lines differ'}"
    if len(fields) < len(header):
        problem = f"column '{shown(header[len(fields)])}' has no value"
    else:
        value = shown(fields[len(header)])
        problem = f"column '{shown(header[-1])}' is followed by one value too many, '{value}'"
    surplus = "".join(record[0] for record in others) if whole <= 1 and all(others) else None
    has_title = whole <= 1 and len(widths) == 1 and (len(header) == 1 or min(widths) > len(header) + 1)
    have = f"1 field instead of {len(header)}" if len(fields) == 1 else f"{len(fields)} fields instead of {len(header)}"
    message = f"{source.name}:{line}: {problem}: the line has {have}{count}"
    raise DataError(message, hint=_DELETE_TITLE if has_title else _ragged_hint(header, fields, surplus))


def _ragged_hint(header: list[str], fields: list[str], surplus: str | None) -> str:
    """Return the hint; `surplus` joins the last fields if all lines have one field more than the header, else None."""
    if header[0].lstrip().startswith("#"):
        return "delete the first line: column names come first"
    if surplus is not None:
        return (
            "write a name for each column into the first line"
            if surplus
            else "delete the separator at the end of each line"
        )
    if len(fields) == 1 and not fields[0].strip():
        return "delete the blanks, or the line"
    if len(fields) < len(header):
        return f"complete the line; or {_DELETE_TITLE}"
    return 'put values that contain the separator in quotes: "a, b"'


def refuse_text(source: Source, separator: str, wrong: Callable[[str], bool], problem: str, hint: str) -> NoReturn:
    """Raise the error about the first field of a file for which `wrong` is true.

    Bytes that cannot be decoded appear as lone surrogates in the fields.
    """
    header: list[str] = []
    more, first = -1, ""
    try:
        for line, fields in records(source, separator, "surrogateescape"):
            header = header or fields
            for index, text in enumerate(fields):
                if wrong(text):
                    more += 1
                    name = header[index] if index < len(header) else str(index + 1)
                    first = first or f"{source.name}:{line}: column '{shown(name)}' has {problem} in '{shown(text)}'"
    except DataError:  # the quotes are wrong
        if not first:
            raise
    place = first or f"{source.name}: the file has {problem}"
    raise DataError(place + and_more(more, "with such characters"), hint=hint)


def shown(text: str) -> str:
    r"""Return a value or name for messages: short, on one line, with undecodable bytes as escapes such as `\xe4`."""
    short = text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
    return one_line(short.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def and_more(count: int, what: str) -> str:
    """Return `; 3 more values WHAT`, or nothing for a count of 0."""
    return "" if count <= 0 else f"; {count:,} more {'value' if count == 1 else 'values'} {what}"
