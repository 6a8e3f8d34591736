"""Proposal of a config for the user's table: task, columns, layers and epochs, with the reasons as comments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dlcli.config.paths import escape_path
from dlcli.config.render import render_value
from dlcli.config.schema import LEAST_EPOCHS, MOST_EPOCHS, USUAL_STEPS
from dlcli.config.suggest import closest
from dlcli.data.tables.read import read_csv, read_parquet
from dlcli.data.tables.table import Column, Table
from dlcli.errors import UsageError, one_line

_TARGETS = ("target", "label", "class", "y")  # usual names of the column to predict
_MOST_CLASSES = 20  # a column of more different whole numbers is a quantity
_BATCH = 64
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Proposal:
    """Proposed config.

    Attributes:
        text: YAML text.
        reason: Why the task and the target were chosen.
    """

    text: str
    reason: str


def propose_config(
    file: str, target: str | None, task: Literal["classification", "regression"] | None, folder: Path
) -> Proposal:
    """Return a config that trains on a table as it is.

    Args:
        file: CSV or Parquet file.
        target: Column to predict; None looks for one named target, label, class or y.
        task: Task; None derives it from the target.
        folder: Folder of the config, which the path in it is relative to.

    Raises:
        UsageError: If the target must be named.
        DataError: If the table cannot be read.
    """
    name = "parquet" if Path(file).suffix in _PARQUET else "csv"
    table = (read_parquet if name == "parquet" else read_csv)(Path(file))
    column, reason = _choose_target(table, target)
    task, why = (task, "as requested") if task else _choose_task(column)
    ignored = {
        other.name: note for other in table.columns.values() if other is not column and (note := _why_ignored(other))
    }
    used = [other for other in table.columns.values() if other is not column and other.name not in ignored]
    gaps = {other.name: n for other in used if (n := _count_missing(other))}
    n_train = round(table.rows * 0.8 * 0.9)
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, -(-USUAL_STEPS // max(1, -(-n_train // _BATCH)))))
    lines = [
        f"# {os.path.basename(file)}: {table.rows:,} rows, {len(table.columns)} columns",
        f"task: {task}  # {column.name}: {why}",
        "data:",
        f"  name: {name}",
        f"  path: {render_value(escape_path(os.path.relpath(file, folder)))}",
        f"  target: {render_value(column.name)}",
    ]
    if ignored:
        lines += ["  ignore:", *(f"    - {render_value(key)}  # {note}" for key, note in ignored.items())]
    if _count_missing(column):
        lines.append(f"  missing: drop  # {_count_missing(column):,} examples have no {column.name}")
    elif gaps:
        listed = ", ".join(f"{key} {n:,}" for key, n in list(gaps.items())[:5])
        lines.append(f"  missing: mean  # missing values: {listed}")
    lines += [
        f"training: {{epochs: {epochs}, batch_size: {_BATCH}}}  # {n_train:,} examples: about {USUAL_STEPS:,} steps",
        "# Columns to predict from:",
        *(f"#   {line}" for line in _describe(used)),
    ]
    text = "".join(f"{one_line(line)}\n" for line in lines)  # a name with a line break must not add a setting
    return Proposal(text, one_line(f"{reason}; {task}: {why}"))


def _choose_target(table: Table, target: str | None) -> tuple[Column, str]:
    if target is not None:
        if target in table.columns:
            return table.columns[target], f"target {target}"
        guess = closest(target, list(table.columns))
        hint = f"did you mean `--target {guess}`?" if guess else f"columns: {', '.join(table.columns)}"
        raise UsageError(f"{table.file} has no column {target!r}", hint=hint)
    named = [column for column in table.columns.values() if column.name.lower() in _TARGETS]
    if len(named) == 1:
        return named[0], f"target {named[0].name}, from its name"
    columns = ", ".join(list(table.columns)[:20])
    raise UsageError(f"which column of {table.file} is to be predicted?", hint=f"add `--target COLUMN`: {columns}")


def _choose_task(column: Column) -> tuple[Literal["classification", "regression"], str]:
    if column.kind not in ("number", "boolean"):
        return "classification", f"{len(column.categories):,} different texts"
    values = np.unique(column.values[~np.isnan(column.values)])
    is_whole = bool((values == np.floor(values)).all())
    if is_whole and len(values) <= _MOST_CLASSES:
        return "classification", f"{len(values)} different whole numbers"
    return "regression", f"{len(values):,} different numbers"


def _why_ignored(column: Column) -> str:
    """Return why a column is no feature; "" if it is one."""
    if column.kind == "date":
        return "dates; `time: ...` orders the examples by it"
    if column.kind == "text":
        return "free text or identifiers"
    if column.kind == "category":
        return (
            "always the same"
            if len(column.categories) < 2
            else "too many categories"
            if len(column.categories) > 100
            else ""
        )
    known = column.values[~np.isnan(column.values)]
    distinct = len(np.unique(known))
    if distinct < 2:
        return "always the same"
    steps = np.diff(known)
    is_counter = len(known) == len(column.values) and len(steps) > 0 and bool((steps == 1).all())
    return "a row number" if is_counter else ""


def _count_missing(column: Column) -> int:
    missing = np.isnan(column.values) if column.kind in ("number", "boolean") else column.values < 0
    return int(missing.sum())


def _describe(columns: list[Column]) -> Iterator[str]:
    """Yield a line for each column: name, type and range or categories."""
    width = max((len(column.name) for column in columns), default=0)
    for column in columns[:200]:
        if column.kind in ("number", "boolean"):
            known = column.values[~np.isnan(column.values)]
            about = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "no value"
        else:
            about = ", ".join(column.categories[:6]) + (", ..." if len(column.categories) > 6 else "")
        yield f"{column.name:<{width}}  {column.kind:<8}  {about}"
