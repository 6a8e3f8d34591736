"""Proposal of a config for the user's table or pictures: task, columns, layers and epochs, with reasons as comments."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from dlcli.config.load import load_config
from dlcli.config.paths import as_argument, escape_path
from dlcli.config.render import render_value
from dlcli.config.schema import CsvData, ImageFolderData, TableData, TaskName
from dlcli.config.suggest import closest
from dlcli.config.tree import COMMAND_LINE
from dlcli.data.tables.read import read_csv, read_parquet
from dlcli.data.tables.refuse import is_url
from dlcli.data.tables.rows import read_options
from dlcli.data.tables.table import Column, Table
from dlcli.data.training_plan import choose_training
from dlcli.data.trial_split import count_train, names_splits
from dlcli.data.usefulness import why_useless
from dlcli.errors import DataError, UsageError, one_line

Ask: TypeAlias = Callable[[Sequence[str], str | None], str]

_TARGETS = ("target", "label", "class", "y")  # usual names of the column to predict
_MOST_CLASSES = 20  # of whole numbers; a column with more is a quantity
_LEAST_PER_CLASS = 5  # least average number of examples per class; with fewer, whole numbers are quantities
_MOST_LINES, _WIDEST = 200, 30  # columns with one line each; characters of their aligned names


@dataclass(frozen=True)
class Proposal:
    """Proposed config.

    Attributes:
        text: YAML text.
        reason: Why the task and the target were chosen.
        left_out: Columns that the config ignores, with the reason.
    """

    text: str
    reason: str
    left_out: Mapping[str, tuple[Column, str]] = field(default_factory=dict)


def propose_config(
    path: str,
    target: str | None,
    task: TaskName | None,
    folder: Path,
    ask: Ask | None = None,
    settings: Sequence[str] = (),
) -> Proposal:
    """Propose a config that trains on a table, or on a folder of pictures, as it is.

    Args:
        path: CSV or Parquet file, or folder.
        target: Column to predict; None asks for it, or without `ask` takes the column named target, label, class or y.
        task: Task; None derives it from the target.
        folder: Folder of the config; the path in the config is relative to it.
        ask: Function that chooses the target from the names of all columns; its second argument is the only column with
            such a name, or None.
        settings: Settings of a table to write into the config, such as `data.encoding=windows-1252`.

    Raises:
        UsageError: If the target must be named, the path is a folder and cannot have a target, or a setting is wrong.
        DataError: If the data cannot be read, or no config could train on it.
    """
    if not is_url(path) and not os.path.lexists(path):
        raise DataError(f"{one_line(path)} does not exist", hint=_near(path))
    shown = render_value(escape_path(os.path.relpath(path, folder)))
    if not os.path.isdir(path):
        return _propose_table(path, shown, target, task, ask, settings)
    if settings:
        raise UsageError(f"{settings[0]} is for tables", hint="write it into the config")
    if target is not None or task == "regression":
        message = f"{one_line(path)} is a folder of pictures, whose folders are the classes to predict"
        raise UsageError(message, hint="omit --target" if target is not None else "omit --task")
    return _propose_pictures(path, shown)


def _near(path: str) -> str:
    """Return a hint for a missing file: the most similar name in its folder, or the folder if no name is similar."""
    folder, name = os.path.split(path)
    try:
        guess = closest(name, os.listdir(folder or "."))
    except OSError:
        return f"check the folder: {one_line(folder)} cannot be listed"
    if guess:
        return f"did you mean {as_argument(os.path.join(folder, guess))}?"
    return f"check the name: nothing like it is in {one_line(os.path.abspath(folder))}"


def _propose_table(
    file: str, shown: str, target: str | None, task: TaskName | None, ask: Ask | None, settings: Sequence[str]
) -> Proposal:
    data, given = _read_settings(file, settings)
    name = "csv" if isinstance(data, CsvData) else "parquet"
    table = (read_csv if name == "csv" else read_parquet)(Path(file), read_options(data, {}))
    column, reason = _choose_target(table, target, ask)
    task, why = (task, "as requested") if task else _choose_task(column)
    others = [other for other in table.columns.values() if other is not column and _may_be_feature(other, data)]
    split = data.split
    if split is data.time is data.group is None:
        split = next((other.name for other in others if names_splits(other)), None)
    others = [other for other in others if other.name != split]
    left_out = {other.name: (other, note) for other in others if (note := why_useless(other, column))}
    used = [other for other in others if other.name not in left_out]
    if not used:
        notes = ", ".join(f"{name} ({note.partition(';')[0]})" for name, (_, note) in left_out.items())
        hint = f"these cannot be used: {notes}" if notes else f"add columns beside {column.name!r}"
        raise DataError(f"{table.file} has no column to predict {column.name!r} from", hint=hint)
    n_train = count_train(table, column, used, task, split)
    lines = [
        f"# {os.path.basename(file)}: {table.rows:,} rows, {len(table.columns)} columns",
        f"task: {task}  # {column.name}: {why}",
        "data:",
        f"  name: {name}",
        f"  path: {shown}",
        f"  target: {render_value(column.name)}",
    ]
    if split is not None and not data.split:
        lines.append(f"  split: {render_value(split)}  # its values are train, val and test")
    lines += [f"  {name}: {render_value(value)}" for name, value in given.items() if name != "ignore"]
    ignored = dict.fromkeys(data.ignore, "as requested")
    lines += _ignore(ignored | {name: note for name, (_, note) in left_out.items()})
    lines += [*([] if "missing" in given else _choose_missing(column, used)), *choose_training(n_train)]
    lines += ["# Columns to predict from:", *(f"#   {line}" for line in _describe(used))]
    return Proposal(_as_lines(lines), one_line(f"{reason}; {task}: {why}"), left_out)


def _read_settings(file: str, settings: Sequence[str]) -> tuple[TableData, dict[str, Any]]:
    """Return the data section of a table with the settings that the user typed, and the values of only these."""
    for setting in settings:
        key = setting.partition("=")[0].split(".")
        if key[0] != "data" or key[1:2] in ([], ["path"], ["train"], ["val"], ["test"], ["target"]):
            is_target = key[1:2] == ["target"]
            hint = "choose the column with `--target`" if is_target else "write it into the config afterwards"
            raise UsageError(f"{setting} is no setting for the reading of {one_line(file)}", hint=hint)
    name = "parquet" if Path(file).suffix in (".parquet", ".pq") else "csv"
    loaded = load_config({"data": {"name": name, "path": "table", "target": "target"}}, settings)
    data = loaded.config.data
    assert isinstance(data, TableData)
    typed = dict.fromkeys(path[1] for path, place in loaded.places.items() if place is COMMAND_LINE and len(path) > 1)
    return data, {str(key): getattr(data, str(key)) for key in typed if key != "name"}


def _may_be_feature(column: Column, data: TableData) -> bool:
    """Return whether a column may be a feature: no setting excludes it or gives it another role."""
    is_named = data.features is None or column.name in data.features
    return is_named and column.name not in (data.time, data.group, data.split)


def _as_lines(lines: Sequence[str]) -> str:
    return "".join(f"{one_line(line)}\n" for line in lines)  # a name with a line break must not add a setting


def _ignore(notes: Mapping[str, str]) -> list[str]:
    """Return the lines of the setting that leaves columns out: one per column with its reason, or one for many."""
    if len(notes) <= _MOST_LINES:
        lines = [f"    - {render_value(name)}  # {note}" for name, note in notes.items()]
        return ["  ignore:", *lines] if lines else []
    reasons = ", ".join(f"{note} ({n:,})" for note, n in Counter(notes.values()).most_common(5))
    return [f"  ignore: [{', '.join(map(render_value, notes))}]  # {reasons}"]


def _choose_missing(target: Column, used: Sequence[Column]) -> list[str]:
    gaps = {column.name: n for column in used if (n := int(column.missing.sum()))}
    if n := int(target.missing.sum()):
        return [f"  missing: drop  # {n:,} examples have no {target.name}"]
    listed = ", ".join(f"{key} {n:,}" for key, n in list(gaps.items())[:5])
    return [f"  missing: mean  # missing values: {listed}"] if gaps else []


def _propose_pictures(path: str, shown: str) -> Proposal:
    from dlcli.data.class_folders import list_folder
    from dlcli.data.image_folder import load_image_folder
    from dlcli.data.picture_survey import survey_pictures

    survey = survey_pictures(list_folder(path).files)
    (height, width), why_size = survey.choose_size()
    color_mode, why_color = survey.choose_color_mode()
    section = {"path": path, "size": (height, width), "color_mode": color_mode, "unreadable": "skip"}
    raw = load_image_folder(ImageFolderData.model_validate({"name": "image_folder", **section}))  # the whole folder
    skipped = [note for note in raw.notes if "unreadable" in note]
    parts = [part for part in (raw.train, raw.val, raw.test) if part is not None]
    n_train = round(len(raw.train) * (1 if raw.test else 0.8) * (1 if raw.val else 0.9))
    labels, n_classes = np.concatenate([part.targets.numpy() for part in parts]), len(raw.info.class_names)
    counts = np.bincount(labels, minlength=n_classes)
    lines = [
        f"# {os.path.basename(os.path.abspath(path))}: {len(labels):,} pictures of {n_classes:,} classes",
        "task: classification  # a folder for each class",
        "data:",
        "  name: image_folder",
        f"  path: {shown}",
        f"  size: [{height}, {width}]  # {why_size}",
        f"  color_mode: {color_mode}  # {why_color}",
        *(f"  unreadable: skip  # {note}" for note in skipped),
        *choose_training(n_train),
        "# Pictures by class:",
        *(f"#   {name}  {count:,}" for name, count in zip(raw.info.class_names, counts.tolist(), strict=True)),
    ]
    reason = f"classification of {n_classes:,} folders; {height}×{width}: {why_size}; {color_mode}: {why_color}"
    return Proposal(_as_lines(lines), one_line(reason))


def _choose_target(table: Table, target: str | None, ask: Ask | None) -> tuple[Column, str]:
    names = list(table.columns)
    usual = [name for name in names if name.lower() in _TARGETS]
    if target is None and ask is not None:
        target = ask(names, usual[0] if len(usual) == 1 else None)
    if target is not None:
        if target in names:
            return table.columns[target], f"target {target}"
        guess = closest(target, names)
        hint = f"did you mean `--target {guess}`?" if guess else f"columns: {', '.join(names[:20])}"
        raise UsageError(f"{table.file} has no column {target!r}", hint=hint)
    if len(usual) != 1:
        columns = ", ".join(names[:20])
        raise UsageError(f"which column of {table.file} is to be predicted?", hint=f"add `--target COLUMN`: {columns}")
    return table.columns[usual[0]], f"target {usual[0]}, from its name"


def _choose_task(column: Column) -> tuple[TaskName, str]:
    if not column.is_numeric:
        return "classification", f"{len(column.categories):,} different texts"
    values = np.unique(column.values[~np.isnan(column.values)])
    is_whole = bool((values == np.floor(values)).all())
    known = len(column.values) - int(column.missing.sum())
    if is_whole and len(values) <= _MOST_CLASSES and (len(values) <= 2 or known >= _LEAST_PER_CLASS * len(values)):
        return "classification", f"{len(values)} different whole numbers"
    return "regression", f"{len(values):,} different numbers"


def _describe(columns: list[Column]) -> Iterator[str]:
    """Yield a line for each column: name, type and range or categories."""
    width = min(_WIDEST, max((len(column.name) for column in columns), default=0))
    for column in columns[:_MOST_LINES]:
        if column.is_numeric:
            known = column.values[~np.isnan(column.values)]
            about = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "no value"
        else:
            about = ", ".join(column.categories[:6]) + (", ..." if len(column.categories) > 6 else "")
        yield f"{column.name:<{width}}  {column.kind:<8}  {about}"
