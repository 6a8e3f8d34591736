"""Choice of the feature columns and of the complete rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.config.schema import TableData
from dlcli.config.suggest import closest
from dlcli.data.tables.options import list_setting, name_setting
from dlcli.data.tables.rows import Rows
from dlcli.data.tables.table import Column
from dlcli.errors import DataError


def feature_names(rows: Rows, data: TableData, targets: Sequence[str]) -> list[str]:
    """Return the names of the feature columns.

    Raises:
        DataError: If a setting names a column that the table lacks, or a column cannot be a feature.
    """
    named = {
        "target": targets,
        "features": data.features or (),
        "types": tuple(data.types),
        **{key: () if getattr(data, key) is None else (getattr(data, key),) for key in ("time", "group", "split")},
    }
    for setting, names in named.items():
        for name in names:
            if name not in rows.columns:
                guess = closest(name, list(rows.columns))
                hint = f"did you mean {guess!r}?" if guess else f"columns: {', '.join(list(rows.columns)[:20])}"
                raise DataError(f"{rows.tables[0].file} has no column {name!r}, which data.{setting} names", hint=hint)
    if data.features is not None:
        names = list(data.features)
        if both := [name for name in names if name in targets]:
            raise DataError(f"column {both[0]!r} is target and feature", hint="remove it from data.features")
    else:
        left_out = {*targets, *data.ignore, data.time, data.group, data.split}
        names = [name for name in rows.columns if name not in left_out]
    for name in names:
        _check_feature(rows, rows.columns[name], data)
    if not names:
        raise DataError(f"{rows.tables[0].file} has no column to predict from", hint="list some in data.features")
    return names


def _check_feature(rows: Rows, column: Column, data: TableData) -> None:
    ignore = _ignoring(column, data)
    place = f"{rows.tables[0].file}: column {column.name!r}"
    if column.kind == "date":
        hint = f"{ignore}, or order the examples by it with {name_setting('data.time', column.name)}"
        raise DataError(f"{place} contains dates, such as {column.categories[0]!r}: they are no features", hint=hint)
    forced = data.types.get(column.name) == "category"
    if column.kind == "text" and not forced:
        raise DataError(f"{place} contains free text or identifiers, such as {column.categories[0]!r}", hint=ignore)


def check_categories(rows: Rows, column: Column, train: np.ndarray, data: TableData) -> None:
    """Check the number of categories of a column among the training examples.

    Raises:
        DataError: If the number is above `data.max_categories`.
    """
    if column.is_numeric or len(column.categories) <= data.max_categories:
        return
    n = int(np.count_nonzero(np.bincount(column.values[train] + 1)[1:]))
    if n > data.max_categories:
        message = f"{rows.tables[0].file}: column {column.name!r} has {n:,} categories, more than {data.max_categories}"
        raise DataError(message, hint=f"{_ignoring(column, data)}, or raise data.max_categories")


def _ignoring(column: Column, data: TableData) -> str:
    return f"leave it out with {list_setting('data.ignore', [*data.ignore, column.name])}"


def complete_rows(rows: Rows, data: TableData, names: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Return which rows are used, bool of shape (rows,): all, or those without gaps if `data.missing` is `drop`.

    Raises:
        DataError: If a value is missing and `data.missing` does not allow it, or no row is complete.
    """
    kept = np.ones(len(rows.part), dtype=bool)
    for name in [*names, *targets]:
        missing = rows.columns[name].missing
        if not missing.any():
            continue
        if data.missing == "drop":
            kept &= ~missing
        elif name in targets:
            rows.fail(name, missing, "has no value, and a missing target is never filled", "use data.missing=drop")
        elif data.missing == "error":
            rows.fail(name, missing, "has no value", "use data.missing=mean to fill it, or data.missing=drop")
    if not kept.any():
        raise DataError(f"{rows.tables[0].file}: no example is complete", hint="use data.missing=mean")
    return kept
