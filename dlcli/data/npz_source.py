"""Loading of the user's own arrays in NPZ files: features as a table, or pictures as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dlcli.config.schema import Config, NpzData
from dlcli.data.splits import DataInfo, RawData, Split
from dlcli.data.table_features import complete_rows
from dlcli.data.table_source import PreparedTable, ReadTable, checksums, dtype_of, prepare_rows, ranges_explained
from dlcli.data.table_targets import check_targets, number_labels
from dlcli.data.tables.npz import NpzArrays, read_npz, table_of_arrays, target_names
from dlcli.data.tables.records import shown
from dlcli.data.tables.rows import Rows, read_options, stack_tables
from dlcli.errors import DataError

_OF_COLUMNS = ("features", "time", "group", "split", "unknown", "min_frequency", "max_categories")


def read_arrays(config: Config) -> ReadTable | RawData:
    """Read the NPZ files of a config: features as a table, or pictures, unscaled.

    Raises:
        DataError: If a file cannot be read, or its arrays do not fit the task, the settings or each other.
    """
    files, rows, targets = _read(config)
    if files[0].has_pictures:
        return _load_pictures(config, files, rows, targets)
    return ReadTable(rows, targets)  # its columns are copies of the arrays


def prepare_npz(config: Config) -> PreparedTable | None:
    """Read, check and split the arrays of a config as a table; None if the inputs are pictures. See `read_arrays`."""
    files, rows, targets = _read(config)
    return None if files[0].has_pictures else prepare_rows(config, rows, targets)


def _read(config: Config) -> tuple[list[NpzArrays], Rows, tuple[str, ...]]:
    """Return the arrays of each file, their examples as a table (without pictures), and the names of the targets."""
    data = config.data
    assert isinstance(data, NpzData)
    files = [read_npz(Path(file), data.inputs, data.target) for file in data.files().values()]
    _check_alike(files)
    targets = tuple(target_names(files[0], data.target))
    if config.task == "classification" and len(targets) > 1:
        message = f"{files[0].file}: array '{shown(data.target)}' has {len(targets)} columns instead of one class"
        raise DataError(message, hint="save the index of the class; from one-hot rows: array.argmax(1)")
    options = read_options(data, dict.fromkeys(targets, "class" if config.task == "classification" else "number"))
    tables = [table_of_arrays(arrays, data.target, options) for arrays in files]
    return files, stack_tables(tables, data.types), targets


def _check_alike(files: Sequence[NpzArrays]) -> None:
    first = files[0]
    for other in files[1:]:
        for name, before, after in (
            ("inputs per example", first.inputs.shape[1:], other.inputs.shape[1:]),
            ("targets per example", first.targets.shape[1:], other.targets.shape[1:]),
            ("class names", first.class_names, other.class_names),
            ("feature names", first.feature_names, other.feature_names),
        ):
            if before != after:
                message = (
                    f"{other.file} has other {name} than {first.file}: {_shown(after)} instead of {_shown(before)}"
                )
                raise DataError(message, hint="save all files with the same arrays")


def _shown(values: Sequence[int] | Sequence[str]) -> str:
    return repr(tuple(values[:10])) if values else "none"


def _load_pictures(config: Config, files: Sequence[NpzArrays], rows: Rows, targets: Sequence[str]) -> RawData:
    """Return pictures with their labels or values, unscaled, in the order of the files."""
    data, shape = config.data, files[0].inputs.shape[1:]
    assert isinstance(data, NpzData)
    if given := [name for name in _OF_COLUMNS if getattr(data, name) != NpzData.model_fields[name].default]:
        message = f"data.{given[0]} is for columns, and the inputs of {files[0].file} are pictures"
        raise DataError(message, hint=f"remove {given[0]} from the config")
    kept = rows.select(complete_rows(rows, data, [], targets))
    pixels = files[0].inputs if len(files) == 1 else np.concatenate([arrays.inputs for arrays in files])
    stored = torch.from_numpy(kept.values(pixels.reshape(len(pixels), -1)))
    if config.task == "classification":
        class_names, labels = number_labels(kept, targets)
        outcome, out_features = torch.from_numpy(labels), len(class_names)
    else:
        class_names, out_features = (), len(targets)
        outcome = torch.from_numpy(np.column_stack([kept.column(name).values for name in targets]))
        with ranges_explained(config, rows):
            check_targets(targets, outcome, dtype_of(config))
    info = DataInfo(
        name=data.name,
        task=config.task,
        in_features=stored.shape[1],
        out_features=out_features,
        class_names=class_names,
        target_name=", ".join(targets),
        image_shape=(shape[0], shape[1], shape[2]),
        checksums=checksums(data, rows),
    )
    part = torch.from_numpy(rows.part[kept.index])
    whole = Split(stored, outcome)
    splits = {
        name: whole if len(files) == 1 else whole.select((part == number).nonzero().flatten())
        for number, name in enumerate(data.files())
    }
    return RawData(info, splits.get("path") or splits["train"], splits.get("test"), splits.get("val"))
