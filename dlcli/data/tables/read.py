"""Strict reading of tables: `read_csv` and `read_parquet`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from dlcli.data.tables.csv_blocks import fast_blocks, slow_blocks
from dlcli.data.tables.marks import MarkTally, find_decimal, may_have_another_mark, may_have_thousands, tally_marks
from dlcli.data.tables.numbers import MISSING_WORDS, Numbers, add_numbers
from dlcli.data.tables.options import ReadOptions, bad_number_hint, check_marks, check_names
from dlcli.data.tables.parquet import read_parquet
from dlcli.data.tables.records import and_more, locate_row, locate_text, refuse_text, shown
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.sniff import Layout, find_layout
from dlcli.data.tables.source import Source, Unusual
from dlcli.data.tables.table import Column, Table
from dlcli.data.tables.texts import BadTextError, Texts, empty_nulls
from dlcli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ReadOptions", "read_csv", "read_csv_files", "read_parquet"]

_Result = TypeVar("_Result")
_Blocks = Callable[[Source, Layout, Collection[str]], "Iterator[tuple[pl.DataFrame, bool]]"]


def read_csv(path: Path, options: ReadOptions | None = None) -> Table:
    """Read a CSV file, `.gz` or not, with the types that fit the whole file.

    Args:
        path: Local file.
        options: Settings that replace the detected ones.

    Raises:
        DataError: If the file is not a CSV file, or a line or value is wrong. The message has file, line and column.
    """
    return read_csv_files([path], options)[0]


def read_csv_files(paths: Sequence[Path], options: ReadOptions | None = None) -> list[Table]:
    """Read CSV files like `read_csv`, all with the same decimal mark, which fits all their values.

    The mark of the first rows nearly always fits all files. Only if the values leave a doubt are all texts examined;
    files are read again if their mark was wrong.
    """
    options = options or ReadOptions()
    check_marks(options)
    missing = ("", *MISSING_WORDS, *options.nulls)
    tables: list[Table] = []
    is_settled = False
    try:
        tables = [_read(path, options, missing) for path in paths]
        is_settled = options.decimal != "auto" or not may_have_another_mark(tables, missing)
        if options.decimal != "auto" or (is_settled and not any(map(may_have_thousands, tables))):
            return tables
    except _WrongNumberError:
        if options.decimal != "auto":
            raise
    found = {str(path): _parse(path, options, missing, _tally(options, missing, is_settled)) for path in paths}

    def locate(file: str, column: str, text: str) -> int:
        def find(source: Source, layout: Layout, _: _Blocks) -> int:
            return locate_text(source, layout.separator, layout.header.index(column), text)

        return _parse(Path(file), options, missing, find)

    mark, unclear = find_decimal({file: tallies for file, tallies in found.items() if tallies}, locate)
    with_mark = replace(options, decimal=mark)
    if {table.found["decimal"] for table in tables} != {mark}:
        tables = [_read(path, with_mark, missing) for path in paths]
    for table in tables:
        table.columns.update({name: _with_doubt(table.columns[name], text) for name, text in unclear.items()})
    return tables


def _with_doubt(column: Column, text: str) -> Column:
    """Return a column with a note that its points may separate thousands."""
    note = f'values such as {text} are read with a decimal point; if points separate thousands, type data.decimal=","'
    return replace(column, unclear=text, note="; ".join(filter(None, (column.note, note))))


def _tally(
    options: ReadOptions, missing: Collection[str], to_point: bool
) -> Callable[[Source, Layout, _Blocks], dict[str, MarkTally]]:
    def tally(source: Source, layout: Layout, blocks: _Blocks) -> dict[str, MarkTally]:
        names = {
            str(index): name
            for index, name in enumerate(layout.header)
            if options.wants(name) and options.types.get(name) in (None, "number")
        }
        return tally_marks(blocks(source, layout, ()), names, missing, to_point)

    return tally


def _read(path: Path, options: ReadOptions, missing: Sequence[str]) -> Table:
    return _parse(
        path, options, missing, lambda source, layout, blocks: _Reader(source, layout, options, blocks).read()
    )


def _parse(
    path: Path, options: ReadOptions, missing: Sequence[str], parse: Callable[[Source, Layout, _Blocks], _Result]
) -> _Result:
    """Return the result of `parse` for the blocks of a file: fast blocks if its structure is plain, else slow ones."""
    check_path(path)
    source = Source(path, options.encoding)
    separator = options.separator if options.separator != "auto" else ","
    try:
        layout = find_layout(source, options.separator, options.decimal, missing)
        separator = layout.separator
        check_names(source.name, layout.header, options)
        try:
            return parse(source, layout, fast_blocks)
        except Unusual:  # the csv module reads the file, or finds the place of the error
            return parse(source, layout, slow_blocks)
    except UnicodeDecodeError as error:
        _refuse_encoding(source, separator, error)


def _refuse_encoding(source: Source, separator: str, error: UnicodeDecodeError) -> NoReturn:
    problem = f"bytes that are not {source.encoding.upper()}"
    hint = "save the file as UTF-8; if a Windows program wrote it, type data.encoding=windows-1252"
    if source.encoding != "utf-8":
        hint = "save the file as UTF-8, or type data.encoding=auto"
    if source.encoding.startswith(("utf-16", "utf-32")):
        raise DataError(f"{source.name}: the file has {problem}: {error.reason}", hint=hint) from error
    refuse_text(source, separator, lambda text: any("\udc80" <= letter <= "\udcff" for letter in text), problem, hint)


class _WrongNumberError(DataError):
    """Error for a value in a number column that is not a number with the decimal mark of the first rows."""


class _Reader:
    """Reader of a CSV file that collects all columns; columns that turn out late to be texts need a second pass."""

    def __init__(self, source: Source, layout: Layout, options: ReadOptions, blocks: _Blocks) -> None:
        self._source, self._layout, self._options, self._blocks = source, layout, options, blocks
        self._nulls = options.nulls
        self._numbers: dict[str, Numbers] = {}
        self._texts: dict[str, Texts] = {}
        for index, name in enumerate(layout.header):
            if options.wants(name):
                self._begin(str(index), name)

    def _begin(self, key: str, name: str) -> None:
        forced = self._options.types.get(name)
        if forced in (None, "number"):
            self._numbers[key] = Numbers(name, key, forced == "number", self._source.growth)
        else:
            self._texts[key] = Texts(name, key)

    def read(self) -> Table:
        rows, in_step = 0, True
        late: dict[str, Texts] = {}
        for frame, plain in self._frames():
            add_numbers(list(self._numbers.values()), frame, rows, self._layout.decimal, self._nulls)
            for key in [key for key, column in self._numbers.items() if column.is_hopeless]:
                target = late if rows else self._texts
                target[key] = self._as_texts(key)
            for key, texts in self._texts.items():
                texts.add(self._without_nulls(frame[key]))
            rows, in_step = rows + frame.height, in_step and plain
        if not rows:
            line = self._layout.header_end
            message = (
                f"{self._source.name}:{line}: column '{shown(self._layout.header[0])}' and all others have no values"
            )
            raise DataError(message, hint="write the data below the line of column names")
        for key in [key for key, column in self._numbers.items() if not column.is_number]:
            late[key] = self._as_texts(key)
        if late:
            for frame, _ in self._frames():
                for key, texts in late.items():
                    texts.add(self._without_nulls(frame[key]))
        self._texts.update(late)
        return self._table(rows, in_step)

    def _as_texts(self, key: str) -> Texts:
        column = self._numbers.pop(key)
        return Texts(column.name, key, note=column.note)

    def _frames(self) -> Iterator[tuple[pl.DataFrame, bool]]:
        """Yield the blocks; columns of numbers may already be parsed to float64, all others are texts."""
        parsed = self._numbers.keys() if not self._nulls and self._layout.decimal == "." else ()
        return self._blocks(self._source, self._layout, parsed)

    def _without_nulls(self, texts: pl.Series) -> pl.Series:
        return empty_nulls(texts, self._nulls)

    def _table(self, rows: int, in_step: bool) -> Table:
        def line_of(row: int) -> int:
            return (
                self._layout.header_end + 1 + row if in_step else locate_row(self._source, self._layout.separator, row)
            )

        self._refuse_bad_numbers(line_of)
        columns = {}
        for index, name in enumerate(self._layout.header):
            key = str(index)
            if key in self._numbers:
                number = self._numbers.pop(key)
                columns[name] = Column(name, "number", number.values, (), number.note)
            elif key in self._texts:
                columns[name] = self._text_column(self._texts.pop(key), line_of)
        layout = self._layout
        marks = {"separator": layout.separator, "decimal": layout.decimal, "encoding": self._source.encoding}
        return Table(self._source.name, columns, rows, self._source.sha256, marks, line_of)

    def _refuse_bad_numbers(self, line_of: Callable[[int], int]) -> None:
        wrong = [column for column in self._numbers.values() if column.bad]
        if wrong:
            column = min(wrong, key=lambda column: column.first_bad[0])
            row, text = column.first_bad
            problem = f"which is not a finite number{and_more(column.bad - 1, 'of the column')}"
            hint = bad_number_hint(column.name, text, self._layout.decimal, self._options)
            raise _WrongNumberError(self._problem(line_of(row), column.name, text, row, problem), hint=hint)

    def _text_column(self, texts: Texts, line_of: Callable[[int], int]) -> Column:
        try:
            return texts.column_of(MISSING_WORDS, self._options.types.get(texts.name))
        except BadTextError as error:
            hint = f"correct the value, or type {self._options.typing(texts.name, 'category')}"
            problem = f"which is neither true nor false{and_more(error.more, 'of the column')}"
            message = self._problem(line_of(error.row), texts.name, error.text, error.row, problem)
            raise DataError(message, hint=hint) from error

    def _problem(self, line: int, name: str, text: str, row: int, problem: str) -> str:
        place = f"{self._source.name}:{line}: column '{shown(name)}'"
        return f"{place} has '{shown(text)}' in data row {row + 1:,}, {problem}"
