"""Notes about tables, shown when they are loaded: layout, types, unknown categories and missing classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dlcli.config.render import render_value
from dlcli.config.schema import TableData
from dlcli.data.encoding import ColumnInfo, count_unknown
from dlcli.data.preprocessing import Preprocessing
from dlcli.data.row_splits import RowSplits
from dlcli.data.tables.rows import Kept, Rows
from dlcli.errors import DataError

_SHOWN = 5  # names in a message


def layout_notes(data: TableData, layout: Mapping[str, str]) -> list[str]:
    """Return a note on the settings that were found in the files."""
    found = ", ".join(f"{name} {render_value(value)}" for name, value in layout.items())
    return [f"{', '.join(data.files_by_label())}: found {found}"] if found else []


def column_notes(rows: Rows, names: Sequence[str]) -> list[str]:
    """Return a note for each column with a remark about its type."""
    return [f"column {name!r}: {rows.columns[name].note}" for name in names if rows.columns[name].note]


def unknown_notes(
    kept: Kept,
    infos: Sequence[ColumnInfo],
    splits: RowSplits,
    data: TableData,
    inherited: Preprocessing | None = None,
) -> list[str]:
    """Return notes on categories in val and test that no training example has.

    With inherited preprocessing, these are categories in any split that no training example of the inherited run has.

    Raises:
        DataError: If there is such a category and `data.unknown` is `error`.
    """
    notes, rows, where = [], np.concatenate([splits.val, splits.test]), "val and test have categories"
    if inherited:
        rows, where = np.concatenate(splits), f"there are categories, encoded as in {inherited.run},"
    for info in infos:
        counts = count_unknown(kept.column(info.name), info, rows)
        if not counts:
            continue
        listed = ", ".join(f"{name!r} ({n:,})" for name, n in list(counts.items())[:_SHOWN])
        message = f"column {info.name!r}: {where} that no training example has: {listed}"
        if data.unknown == "error":
            raise DataError(message, hint="use data.unknown=warn, or data.min_frequency=2 for a shared feature")
        notes.append(f"{message}; they are 0 in every feature")
    return notes


def class_notes(names: Sequence[str], labels: np.ndarray, splits: RowSplits) -> list[str]:
    """Return a note for val and test if they lack classes of train."""
    notes = []
    for part, rows in zip(RowSplits._fields[1:], splits[1:], strict=True):
        present = set(labels[rows].tolist())
        missing = [name for code, name in enumerate(names) if code not in present]
        if missing and len(rows):
            notes.append(f"{part} has no example of {', '.join(missing[:_SHOWN])}")
    return notes
