"""Loading of the user's own tables: columns, splits, encoding and scaling, all learned from the training examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dlcli.config.schema import Config, TableData
from dlcli.config.suggest import closest
from dlcli.data.encoding import ColumnInfo, Encoder, count_unknown, fit_column, raw_values
from dlcli.data.row_splits import RowSplits, draw, split_at_random, split_by_column, split_by_group, split_by_time
from dlcli.data.scaling import Scaling, fit_scaling
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.data.tables.rows import ForcedKind, Kept, Rows, read_rows
from dlcli.data.tables.table import Column
from dlcli.errors import DataError

_PARTS = ("train", "val", "test")
_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class PreparedTable:
    """Table of a config: read, checked and split, before its values are encoded.

    Attributes:
        rows: All rows of the files.
        kept: Rows that are used; `splits` and `columns` count these.
        targets: Names of the target columns.
        columns: Feature columns.
        infos: Encoding of each feature column.
        class_names: Classes of the training examples in natural order; () for regression.
        labels: Class of each row that is used, int64; None for regression.
        notes: Messages for the user, one line each.
    """

    rows: Rows
    kept: Kept
    targets: tuple[str, ...]
    columns: tuple[Column, ...]
    infos: tuple[ColumnInfo, ...]
    splits: RowSplits
    class_names: tuple[str, ...]
    labels: np.ndarray | None
    notes: tuple[str, ...]


def load_table(config: Config) -> Splits:
    """Load the table of a config as scaled splits; all that is learned comes from the training examples.

    Raises:
        DataError: If a file cannot be read, or a column cannot be used; the message has its place.
    """
    return encode_table(config, prepare_table(config))


def prepare_table(config: Config) -> PreparedTable:
    """Read, check and split the table of a config; see `load_table`."""
    data = config.data
    assert isinstance(data, TableData)
    targets = (data.target,) if isinstance(data.target, str) else data.target
    kind: ForcedKind = "category" if config.task == "classification" else "number"
    rows = read_rows(data, dict.fromkeys(targets, kind))
    names = _feature_names(rows, data, targets)
    kept = rows.select(_complete_rows(rows, data, names, targets))
    if not len(kept.index):
        raise DataError(f"{rows.tables[0].file}: no example is complete", hint="use data.missing=mean")
    class_names, labels = _labels(kept, targets) if config.task == "classification" else ((), None)
    splits = _split_rows(kept, data, labels, config.seed)
    columns = tuple(kept.column(name) for name in names)
    infos = tuple(fit_column(column, splits.train, data.missing, data.min_frequency) for column in columns)
    notes = [*_column_notes(rows, names), *_unknown_notes(columns, infos, splits, data)]
    if labels is not None:
        class_names, labels = _number_classes(kept, targets[0], class_names, labels, splits)
        notes += _class_notes(class_names, labels, splits)
    return PreparedTable(rows, kept, targets, columns, infos, splits, class_names, labels, tuple(notes))


def encode_table(config: Config, table: PreparedTable) -> Splits:
    """Encode and scale the values of a table."""
    data, splits, infos, labels = config.data, table.splits, table.infos, table.labels
    assert isinstance(data, TableData)
    raw = torch.from_numpy(
        np.column_stack([raw_values(column, info) for column, info in zip(table.columns, infos, strict=True)])
    )
    inputs = Encoder(infos)(raw)
    if labels is None:
        values = torch.from_numpy(np.column_stack([table.kept.column(name).values for name in table.targets]))
        target_scaling = fit_scaling(values[splits.train], data.normalize, jointly=False)
        outcome, out_features = target_scaling.apply(values), len(table.targets)
    else:
        outcome = torch.from_numpy(labels)
        target_scaling, out_features = Scaling.identity(), len(table.class_names)
    scaling = _fit_input_scaling(inputs[splits.train], infos, data)
    scaled = scaling.apply(inputs)
    features = tuple(feature for info in infos for feature in info.features)
    info = DataInfo(
        name=data.name,
        task=config.task,
        in_features=len(features),
        out_features=out_features,
        class_names=table.class_names,
        feature_names=features,
        target_name=", ".join(table.targets),
        checksums=dict(zip(_file_names(data), (file.sha256 for file in table.rows.tables), strict=True)),
        columns=infos,
    )
    train, val, test = (Split(scaled[index], outcome[index]) for index in map(torch.from_numpy, splits))
    return Splits(info, train, val, test, scaling, target_scaling, notes=table.notes)


def _file_names(data: TableData) -> list[str]:
    """Return a unique name for each file: that of the single file, or the splits of several, which may share a name."""
    if data.path is not None:
        return [Path(data.path).name]
    return [part for part in _PARTS if getattr(data, part) is not None]


def _feature_names(rows: Rows, data: TableData, targets: Sequence[str]) -> list[str]:
    """Return the feature columns, after checking every name of the settings and the type of every feature."""
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
    ignore = f"leave it out with data.ignore=[{', '.join([*data.ignore, column.name])}]"
    place = f"{rows.tables[0].file}: column {column.name!r}"
    if column.kind == "date":
        hint = f"{ignore}, or order the examples by it with data.time={column.name}"
        raise DataError(f"{place} contains dates, such as {column.categories[0]!r}: they are no features", hint=hint)
    forced = data.types.get(column.name) == "category"
    if column.kind == "text" and not forced:
        raise DataError(f"{place} contains free text or identifiers, such as {column.categories[0]!r}", hint=ignore)
    if column.kind in ("category", "text") and len(column.categories) > data.max_categories:
        hint = f"{ignore}, or raise data.max_categories"
        raise DataError(
            f"{place} has {len(column.categories):,} categories, more than {data.max_categories}", hint=hint
        )


def _complete_rows(rows: Rows, data: TableData, names: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Return which rows are used; raise an error for a missing value that `data.missing` does not allow."""
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
    return kept


def _labels(kept: Kept, targets: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the classes of all examples in natural order, and the class of each example."""
    if len(targets) > 1:
        raise DataError("classification needs a single target", hint=f"write it like `data.target={targets[0]}`")
    column = kept.column(targets[0])
    used = sorted({*column.values.tolist()}, key=lambda code: _natural(column.categories[code]))
    if len(used) < 2:
        raise DataError(
            f"column {targets[0]!r} has a single class, {column.categories[used[0]]!r}", hint="choose another target"
        )
    if len(used) > 1000:
        message = f"column {targets[0]!r} has {len(used):,} different values, too many for classes"
        raise DataError(message, hint="use task=regression, or another target")
    place = np.zeros(len(column.categories), dtype=np.int64)
    place[used] = np.arange(len(used))
    return tuple(column.categories[code] for code in used), place[column.values]


def _natural(text: str) -> list[tuple[int, float, str]]:
    """Return a key that sorts 5 before 10."""
    return [(0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in re.split(r"(\d+)", text) if part]


def _number_classes(
    kept: Kept, target: str, names: Sequence[str], labels: np.ndarray, splits: RowSplits
) -> tuple[tuple[str, ...], np.ndarray]:
    """Number the classes of the training examples in natural order; another class elsewhere is an error."""
    known = np.unique(labels[splits.train])
    new = np.zeros(len(names), dtype=np.int64) - 1
    new[known] = np.arange(len(known))
    numbered = new[labels]
    if (numbered < 0).any():
        bad = np.zeros(len(kept.rows.part), dtype=bool)
        bad[kept.index[numbered < 0]] = True
        name = names[int(labels[numbered < 0][0])]
        kept.rows.fail(
            target, bad, f"has the class {name!r}, which no training example has", "split the data in another way"
        )
    return tuple(names[code] for code in known), numbered


def _split_rows(kept: Kept, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    if data.path is None:
        return _split_by_file(kept, data, labels, seed)
    if data.split is not None:
        return split_by_column(kept.column(data.split))
    if data.time is not None:
        return split_by_time(kept.column(data.time), data.test_fraction, data.val_fraction)
    if data.group is not None:
        return split_by_group(kept.column(data.group), labels, data.test_fraction, data.val_fraction, seed)
    return split_at_random(len(kept.index), labels, data.test_fraction, data.val_fraction, seed)


def _split_by_file(kept: Kept, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Return the rows of each file; a split without a file is drawn from the rows of train."""
    given = [part for part in _PARTS if getattr(data, part) is not None]
    part = kept.rows.part[kept.index]
    rows = {name: np.flatnonzero(part == number) for number, name in enumerate(given)}
    train = rows["train"]
    if "test" not in rows:
        rows["test"] = draw(train, labels, data.test_fraction, 0, "test")
        train = np.setdiff1d(train, rows["test"])
    if "val" not in rows:
        rows["val"] = draw(train, labels, data.val_fraction, seed, "validation") if data.val_fraction else train[:0]
        train = np.setdiff1d(train, rows["val"])
    return RowSplits(train, rows["val"], rows["test"])


def _fit_input_scaling(train: Tensor, infos: Sequence[ColumnInfo], data: TableData) -> Scaling:
    """Fit the scaling of the number columns; categories stay 0 and 1."""
    scaling = fit_scaling(train, data.normalize, jointly=False)
    if data.normalize == "none":
        return scaling
    is_number = torch.tensor([info.kind != "category" for info in infos for _ in info.features])
    shift = torch.where(is_number, scaling.shift, torch.zeros_like(scaling.shift))
    return Scaling(shift, torch.where(is_number, scaling.scale, torch.ones_like(scaling.scale)))


def _column_notes(rows: Rows, names: Sequence[str]) -> list[str]:
    return [f"column {name!r}: {rows.columns[name].note}" for name in names if rows.columns[name].note]


def _unknown_notes(
    columns: Sequence[Column], infos: Sequence[ColumnInfo], splits: RowSplits, data: TableData
) -> list[str]:
    """Return notes on categories that training examples do not have; an error if `data.unknown` is `error`."""
    notes, others = [], np.concatenate([splits.val, splits.test])
    for column, info in zip(columns, infos, strict=True):
        counts = count_unknown(column, info, others)
        if not counts or info.has_other:
            continue
        listed = ", ".join(f"{name!r} ({n:,})" for name, n in list(counts.items())[:_SHOWN])
        message = f"column {column.name!r}: val and test have categories that no training example has: {listed}"
        if data.unknown == "error":
            raise DataError(message, hint="use data.unknown=warn, or data.min_frequency=2 for a shared feature")
        notes.append(f"{message}; they are 0 in every feature")
    return notes


def _class_notes(names: Sequence[str], labels: np.ndarray, splits: RowSplits) -> list[str]:
    notes = []
    for part, rows in zip(_PARTS[1:], splits[1:], strict=True):
        present = set(labels[rows].tolist())
        missing = [name for code, name in enumerate(names) if code not in present]
        if missing and len(rows):
            notes.append(f"{part} has no example of {', '.join(missing[:_SHOWN])}")
    return notes
