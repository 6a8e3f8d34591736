"""Strict reading of tables: `read_csv` and `read_parquet`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dlcli.data.tables.csv_blocks import fast_blocks, slow_blocks
from dlcli.data.tables.numbers import MISSING_WORDS, Numbers, add_numbers
from dlcli.data.tables.options import ReadOptions, bad_number_hint, check_marks, check_names, typed
from dlcli.data.tables.parquet import read_parquet
from dlcli.data.tables.records import and_more, locate_row, refuse_text, shown
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.sniff import Layout, find_layout
from dlcli.data.tables.source import Source, Unusual
from dlcli.data.tables.table import Column, Table
from dlcli.data.tables.texts import BadTextError, Texts
from dlcli.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ReadOptions", "read_csv", "read_parquet"]

_Blocks = Callable[[Source, Layout, Collection[str]], "Iterator[tuple[pl.DataFrame, bool]]"]


def read_csv(path: Path, options: ReadOptions | None = None) -> Table:
    """Read a CSV file, `.gz` or not, with the types that fit the whole file.

    Args:
        path: Local file.
        options: Settings that replace those found.

    Raises:
        DataError: If the file is no CSV file, or a line or value is wrong. The message has file, line and column.
    """
    options = options or ReadOptions()
    check_marks(options)
    check_path(path)
    source = Source(path, options.encoding)
    separator = options.separator if options.separator != "auto" else ","
    nulls = ("", *(MISSING_WORDS if options.null_values == "auto" else options.null_values))
    try:
        layout = find_layout(source, options.separator, options.decimal, nulls)
        separator = layout.separator
        check_names(source.name, layout.header, options)
        try:
            return _Reader(source, layout, options, fast_blocks).read()
        except Unusual:  # the csv module reads it, or finds the place of the error
            return _Reader(source, layout, options, slow_blocks).read()
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


class _Reader:
    """One reading of a CSV file: collects all columns, and reads again those that turn out to be texts late."""

    def __init__(self, source: Source, layout: Layout, options: ReadOptions, blocks: _Blocks) -> None:
        self._source, self._layout, self._options, self._blocks = source, layout, options, blocks
        self._words = MISSING_WORDS if options.null_values == "auto" else ()
        self._numbers: dict[str, Numbers] = {}
        self._texts: dict[str, Texts] = {}
        for index, name in enumerate(layout.header):
            if options.wants(name):
                self._begin(str(index), name)

    def _begin(self, key: str, name: str) -> None:
        forced = self._options.types.get(name)
        if forced in (None, "number"):
            self._numbers[key] = Numbers(name, key, forced=forced == "number")
        else:
            self._texts[key] = Texts(name, key)

    def read(self) -> Table:
        rows, in_step = 0, True
        late: dict[str, Texts] = {}
        for frame, plain in self._frames():
            add_numbers(list(self._numbers.values()), frame, rows, self._layout.decimal, ("", *self._words))
            for key in [key for key, column in self._numbers.items() if column.is_hopeless]:
                target = late if rows else self._texts
                target[key] = self._as_texts(key)
            for key, texts in self._texts.items():
                texts.add(frame[key])
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
                    texts.add(frame[key])
        self._texts.update(late)
        return self._table(rows, in_step)

    def _as_texts(self, key: str) -> Texts:
        column = self._numbers.pop(key)
        return Texts(column.name, key, note=column.note)

    def _frames(self) -> Iterator[tuple[pl.DataFrame, bool]]:
        """Yield the blocks, with texts that the user calls missing emptied; numbers may be float64 already."""
        import polars as pl

        nulls = [] if self._options.null_values == "auto" else list(self._options.null_values)
        parsed = self._numbers.keys() if not nulls and self._layout.decimal == "." else ()
        for frame, plain in self._blocks(self._source, self._layout, parsed):
            emptied = frame
            if nulls:
                missing = pl.all().is_in(nulls)
                emptied = frame.select(pl.when(missing).then(pl.lit("")).otherwise(pl.all()).name.keep())
            yield emptied, plain

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
            hint = bad_number_hint(column.name, text, self._layout.decimal)
            raise self._error(line_of(row), column.name, text, row, problem, hint)

    def _text_column(self, texts: Texts, line_of: Callable[[int], int]) -> Column:
        try:
            return texts.column_of(self._words, self._options.types.get(texts.name))
        except BadTextError as error:
            hint = f"correct the value, or type data.types={{{typed(texts.name)}: category}}"
            problem = f"which is neither true nor false{and_more(error.more, 'of the column')}"
            raise self._error(line_of(error.row), texts.name, error.text, error.row, problem, hint) from error

    def _error(self, line: int, name: str, text: str, row: int, problem: str, hint: str) -> DataError:
        place = f"{self._source.name}:{line}: column '{shown(name)}'"
        return DataError(f"{place} has '{shown(text)}' in data row {row + 1:,}, {problem}", hint=hint)
