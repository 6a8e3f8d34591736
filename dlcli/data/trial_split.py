"""Trial split of a table, before a config for it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlcli.config.schema import CsvData, TaskName
from dlcli.data.row_splits import RowSplits, split_rows
from dlcli.data.tables.rows import Rows
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError


def names_splits(column: Column) -> bool:
    """Return whether the values of a column are train, test and possibly val."""
    names = {category.strip().lower() for category in column.categories}
    return {"train", "test"} <= names <= {*RowSplits._fields} and not column.missing.any()


def count_train(table: Table, target: Column, used: Sequence[Column], task: TaskName, split: str | None) -> int:
    """Return the number of training examples of the proposed config.

    Raises:
        DataError: If the table cannot be split, or the target does not fit the task.
    """
    place = f"{table.file}: column {target.name!r}"
    if task == "regression" and not target.is_numeric:
        raise DataError(f"{place} contains texts, which are no target of a regression", hint="omit --task")
    complete = ~target.missing
    if not complete.all():  # like `data.missing: drop`
        complete = ~np.any([column.missing for column in (target, *used)], axis=0)
    kept = Rows((table,), table.columns, np.zeros(table.rows, dtype=np.int64)).select(complete)
    labels = np.unique(kept.column(target.name).values, return_inverse=True)[1] if task == "classification" else None
    n_classes = 2 if labels is None else len(np.unique(labels))
    if not len(kept.index) or n_classes < 2:
        problem = "has a single value" if len(kept.index) else "has no value in a row without gaps"
        raise DataError(f"{place} {problem}", hint="choose another target")
    data = CsvData(name="csv", path=table.file, target=target.name, split=split)
    try:
        splits = split_rows(kept, data, labels, 0)
    except DataError as error:
        place = "" if error.message.startswith(table.file) else f"{table.file}: "
        raise DataError(f"{place}{error.message}", hint=error.hint) from error
    if labels is not None and len(np.unique(labels[splits.train])) < n_classes:
        raise DataError(f"{place} has a class that no training example has", hint="use more examples per class")
    return len(splits.train)
