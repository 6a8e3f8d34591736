"""Reading of NPZ files of inputs and targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.npz_file import CLASS_NAMES, FEATURE_NAMES, NpzFile
from dlcli.data.tables.options import ReadOptions, check_names
from dlcli.data.tables.records import shown
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.table import Column, Table
from dlcli.data.tables.typed_columns import column_of_series
from dlcli.errors import DataError, one_line

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class NpzArrays:
    """Arrays of an NPZ file with n examples.

    Attributes:
        file: Path as shown in messages.
        inputs: Features of shape (n, features), or bytes of pictures of shape (n, channels, height, width).
        targets: Texts of shape (n,), or numbers or booleans of shape (n, targets).
        class_names: Names of the classes 0, 1, …; () if the file has none.
        feature_names: Names of the features; () for pictures.
        sha256: SHA-256 of the bytes of the file.
    """

    file: str
    inputs: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    sha256: str

    @property
    def has_pictures(self) -> bool:
        """Whether the inputs are pictures."""
        return self.inputs.ndim == 4


def read_npz(path: Path, inputs: str = "inputs", targets: str = "targets") -> NpzArrays:
    """Read an NPZ file, never with pickle. NaN is a missing value.

    The arrays `class_names` and `feature_names` are read if the file has them.

    Args:
        path: Local file, written by numpy.savez or savez_compressed.
        inputs: Name of the array of inputs.
        targets: Name of the array of targets.

    Raises:
        DataError: If the file is no NPZ file, or an array is missing, of another type or of a length that does not fit.
    """
    check_path(path)
    file = NpzFile(path)
    values, wanted = file.array(inputs), file.array(targets)
    file.check_numbers(inputs, values)
    if values.ndim < 2:
        hint = f"save it with shape (n, 1): {inputs}[:, None]"
        raise file.error(inputs, f"has shape {values.shape} instead of (examples, features)", hint)
    file.check_targets(targets, wanted, len(values))
    if wanted.dtype.kind != "U" or wanted.ndim == 2:
        file.check_numbers(targets, wanted)
    for name, array in ((inputs, values), (targets, wanted)):
        if not array.size:
            raise file.error(name, f"has shape {array.shape}: it is empty", "save at least two examples")
    class_names = file.names(CLASS_NAMES) if file.has(CLASS_NAMES) else ()
    feature_names: tuple[str, ...] = ()
    if values.ndim > 2:
        values = file.pictures(inputs, values)
    else:
        feature_names = file.feature_names(values) or tuple(f"x{i + 1}" for i in range(values.shape[1]))
    if class_names:
        wanted = file.named(targets, wanted, class_names)
    return NpzArrays(file.name, values, wanted, class_names, feature_names, file.sha256)


def read_npz_inputs(path: Path, inputs: str, targets: str) -> tuple[np.ndarray, tuple[str, ...], np.ndarray | None]:
    """Return inputs for predictions, the names of their features, and the targets if the file has them.

    The names are () if the file has none. With `class_names`, targets are class names.

    Args:
        path: Local file, written by numpy.savez or savez_compressed.
        inputs: Name of the array of inputs.
        targets: Name of the array of targets.

    Raises:
        DataError: If the file is no NPZ file, or an array is missing, of another type or of a length that does not fit.
    """
    check_path(path)
    file = NpzFile(path)
    if not file.has(inputs):
        hint = f"save them with numpy.savez(FILE, {one_line(inputs)}=...)"
        raise file.error(inputs, "with the examples to predict for is not in the file", hint)
    values = file.array(inputs)
    if values.dtype.kind != "U":
        file.check_numbers(inputs, values)
    if values.ndim < 2:
        raise file.error(
            inputs, f"has shape {values.shape} instead of (examples, features)", "save one row per example"
        )
    names = file.feature_names(values) if values.ndim == 2 else ()
    labels = file.array(targets) if file.has(targets) else None
    if labels is not None:
        file.check_targets(targets, labels, len(values))
    if labels is not None and file.has(CLASS_NAMES):
        labels = file.named(targets, labels, file.names(CLASS_NAMES))
    return values, names, labels


def table_of_arrays(arrays: NpzArrays, target: str, options: ReadOptions) -> Table:
    """Return features and targets as the columns of a table; for pictures, only the targets.

    A feature has the same type as a Parquet column with the same values.

    Args:
        arrays: Arrays of the file.
        target: Name of the target column; several targets are called target_1, target_2, … .
        options: `types`, `columns` and `ignored`.

    Raises:
        DataError: If a value is not finite, or does not fit the type in `options`.
    """
    names = list(target_names(arrays, target))
    if twice := [name for name in names if name in arrays.feature_names]:
        message = f"{arrays.file}: feature '{shown(twice[0])}' has the name of the target"
        raise DataError(message, hint=f"give it another name in {FEATURE_NAMES}")
    check_names(arrays.file, [*arrays.feature_names, *names], options)
    columns: dict[str, Column] = {}
    blocks = ((arrays.feature_names, arrays.inputs), (names, arrays.targets.reshape(len(arrays.targets), -1)))
    for block_names, values in blocks:
        for index, name in enumerate(block_names):
            if options.wants(name):
                columns[name] = column_of_series(arrays.file, _series(name, values[:, index]), options)
    return Table(arrays.file, columns, len(arrays.targets), arrays.sha256, {}, class_names=arrays.class_names)


def target_names(arrays: NpzArrays, target: str) -> tuple[str, ...]:
    """Return the name of the column of targets, or target_1, target_2, … if there are several."""
    count = arrays.targets[0].size
    return (target,) if count == 1 else tuple(f"{target}_{i + 1}" for i in range(count))


def _series(name: str, values: np.ndarray) -> pl.Series:
    """Return values in the byte order of this machine; floats as float64, with null for NaN."""
    import polars as pl

    if values.dtype.kind == "f":
        return pl.Series(name, values.astype(np.float64)).fill_nan(None)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return pl.Series(name, native.tolist() if values.dtype.kind == "U" else native)
