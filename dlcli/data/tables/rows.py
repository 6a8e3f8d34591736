"""Rows of one table file, or of several files, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from dlcli.config.schema import CsvData, TableData
from dlcli.data.tables.options import ForcedKind, types_setting
from dlcli.data.tables.read import ReadOptions, read_csv_files, read_parquet
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Columns of one file, or of several files, one after the other.

    Attributes:
        tables: Files in order, without their columns.
        columns: Columns by name; each is released when the inputs have been made from it.
        part: Index of the file of each row.
    """

    tables: tuple[Table, ...]
    columns: dict[str, Column]
    part: np.ndarray

    def shared(self) -> Rows:
        """Return the same rows with a separate dict of columns: releasing these columns keeps the original ones."""
        return replace(self, columns=dict(self.columns))

    def place(self, row: int) -> str:
        """Return `file:line` of a row."""
        table = self.tables[self.part[row]]
        return f"{table.file}:{table.locate(row - int((self.part < self.part[row]).sum()))}"

    def fail(self, column: str, bad: np.ndarray, problem: str, hint: str) -> NoReturn:
        """Raise a DataError about the first row for which `bad` is true."""
        rows = np.flatnonzero(bad)
        more = f", as in {len(rows) - 1:,} more rows" if len(rows) > 1 else ""
        raise DataError(f"{self.place(int(rows[0]))}: column {column!r} {problem}{more}", hint=hint)

    def select(self, kept: np.ndarray) -> Kept:
        """Return the rows where `kept` is true."""
        return Kept(self, np.flatnonzero(kept))


@dataclass(frozen=True)
class Kept:
    """Rows that are used; the indices of examples refer to these rows only."""

    rows: Rows
    index: np.ndarray

    def column(self, name: str) -> Column:
        """Return the used rows of a column."""
        column = self.rows.columns[name]
        return column if len(self.index) == len(column.values) else column.take(self.index)

    def take(self, name: str) -> Column:
        """Return the used rows of a column, and release the column."""
        column = self.column(name)
        del self.rows.columns[name]
        return column

    def fail(self, column: str, bad: np.ndarray, problem: str, hint: str) -> NoReturn:
        """Raise a DataError about the first used row for which `bad` is true."""
        rows = np.zeros(len(self.rows.part), dtype=bool)
        rows[self.index[bad]] = True
        self.rows.fail(column, rows, problem, hint)

    def values(self, values: np.ndarray) -> np.ndarray:
        """Return the used rows of an array of all rows; the array itself if all are used."""
        return values if len(self.index) == len(values) else values[self.index]


def read_rows(data: TableData, targets: Mapping[str, ForcedKind]) -> Rows:
    """Read the CSV or Parquet file, or the files of the splits, one after the other."""
    options = read_options(data, targets)
    paths = [Path(file) for file in data.files().values()]
    is_csv = isinstance(data, CsvData)
    tables = read_csv_files(paths, options) if is_csv else [read_parquet(path, options) for path in paths]
    return stack_tables(tables, data.types)


def stack_tables(tables: Sequence[Table], typed: Mapping[str, str]) -> Rows:
    """Concatenate the rows of tables, with the columns of the first table; the columns move out of the tables.

    Args:
        tables: Tables with the same columns.
        typed: Types of columns that the user has set; hints repeat them.

    Raises:
        DataError: If a table lacks a column, or its column has another type.
    """
    for table in tables[1:]:
        if missing := [name for name in tables[0].columns if name not in table.columns]:
            raise DataError(
                f"{table.file} lacks the column {missing[0]!r} of {tables[0].file}",
                hint="add it, or list data.features",
            )
    columns = {
        name: _stack([table.columns.pop(name) for table in tables], tables, typed) for name in [*tables[0].columns]
    }
    return Rows(tuple(tables), columns, np.repeat(np.arange(len(tables)), [table.rows for table in tables]))


def _stack(columns: Sequence[Column], tables: Sequence[Table], typed: Mapping[str, str]) -> Column:
    """Concatenate the columns of one name in several files."""
    first = columns[0]
    if len(columns) == 1:
        return first
    for column, table in zip(columns, tables, strict=True):
        if (column.kind in ("number", "boolean")) != (first.kind in ("number", "boolean")):
            message = f"column {first.name!r} is a {column.kind} here and a {first.kind} in {tables[0].file}"
            hint = f"set its type, such as {types_setting({**typed, first.name: 'category'})}"
            raise DataError(f"{_place(column, table)}: {message}", hint=hint)
    note = "; ".join(dict.fromkeys(column.note for column in columns if column.note))
    if first.kind in ("number", "boolean"):
        values = np.concatenate([column.values for column in columns])
        return replace(first, values=values, note=note)
    categories = tuple(sorted({category for column in columns for category in column.categories}))
    place = {category: code for code, category in enumerate(categories)}
    parts = []
    for column in columns:
        codes = np.array([*(place[category] for category in column.categories), -1], dtype=np.int32)
        parts.append(codes[column.values])
    return Column(first.name, first.kind, np.concatenate(parts), categories, note)


def _place(column: Column, table: Table) -> str:
    """Return `file:line` of the first value of a column."""
    return f"{table.file}:{table.locate(int(column.missing.argmin()))}"


def read_options(data: TableData, targets: Mapping[str, ForcedKind]) -> ReadOptions:
    """Return the options for reading the files.

    The type of a target follows from the task, but the user may set the type of classes to `category`.
    """
    types: dict[str, ForcedKind] = {**data.types, **targets}
    for name, kind in targets.items():
        if kind == "class" and data.types.get(name) == "category":
            types[name] = "category"
    if not isinstance(data, CsvData):
        return ReadOptions(types=types, ignored=data.ignore, typed=data.types)
    marks = (data.separator, data.decimal, data.encoding, data.null_values)
    return ReadOptions(*marks, types, ignored=data.ignore, typed=data.types)
