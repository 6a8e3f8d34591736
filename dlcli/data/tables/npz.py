"""Reading of NPZ files of inputs and targets."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.options import ReadOptions, check_names
from dlcli.data.tables.parquet import column_of_series
from dlcli.data.tables.records import shown
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.source import free_memory
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError, one_line

if TYPE_CHECKING:
    import polars as pl

CLASS_NAMES, FEATURE_NAMES = "class_names", "feature_names"  # arrays that a file may have


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
    file = _File(path)
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
    file = _File(path)
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
    """Return features and targets as the columns of a table; of pictures, the targets only.

    A feature has the types of a Parquet column with the same values.

    Args:
        arrays: Arrays of the file.
        target: Name of the column of targets; with several, target_1, target_2, … .
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
    """Return values in the byte order of this machine; floats as float64, without NaN."""
    import polars as pl

    if values.dtype.kind == "f":
        return pl.Series(name, values.astype(np.float64)).fill_nan(None)
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return pl.Series(name, native.tolist() if values.dtype.kind == "U" else native)


class _File:
    def __init__(self, path: Path) -> None:
        self._path, self.name = path, one_line(str(path))
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            hint = "save the arrays with numpy.savez(FILE, inputs=..., targets=...)"
            raise DataError(f"{self.name} is not an NPZ file, or it is damaged", hint=hint) from error
        self._sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in entries}

    def has(self, name: str) -> bool:
        return name in self._sizes

    def array(self, name: str) -> np.ndarray:
        if name not in self._sizes:
            names = ", ".join(one_line(key) for key in list(self._sizes)[:20]) or "none"
            raise self.error(name, "is not in the file", f"type the name of one of its arrays: {names}")
        if self._sizes[name] > free_memory():
            raise self.error(name, "is larger than the free memory of this machine", "save fewer examples")
        try:
            with np.load(self._path, allow_pickle=False) as arrays:
                array = arrays[name]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            if "Object arrays" in str(error):
                hint = "save it with a type of numbers or texts: pickles can run programs"
                raise self.error(name, "holds Python objects (pickle)", hint) from error
            raise self.error(name, "is damaged", "save the file again with numpy.savez") from error
        except MemoryError as error:
            problem = "is damaged, or larger than the free memory of this machine"
            raise self.error(name, problem, "save the file again with numpy.savez, or fewer examples") from error
        if not isinstance(array, np.ndarray):
            raise self.error(name, "is no array", "save the file again with numpy.savez")
        if array.dtype.kind == "U":
            try:
                "".join(array.flat).encode()
            except UnicodeEncodeError as error:
                raise self.error(name, "has a text that is not valid Unicode", "correct the text") from error
        return array

    def check_numbers(self, name: str, array: np.ndarray) -> None:
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            hint = "save it as float64, float32, integers or booleans"
            raise self.error(name, f"has type {array.dtype} instead of numbers", hint)
        if array.dtype.kind == "f" and np.isinf(array).any():
            place = tuple(int(index) for index in np.argwhere(np.isinf(array))[0])
            count = int(np.isinf(array).sum())
            raise self.error(name, f"has {count:,} infinite values, the first at {place}", "replace them, or use NaN")

    def check_targets(self, name: str, targets: np.ndarray, n: int) -> None:
        """Check that there is one target, or one row of targets, for each of n inputs.

        Raises:
            DataError: If not.
        """
        if targets.ndim not in (1, 2) or len(targets) != n:
            problem = f"has shape {targets.shape}, which does not fit {n} inputs"
            raise self.error(name, problem, "save one target, or one row of targets, per input")

    def feature_names(self, values: np.ndarray) -> tuple[str, ...]:
        """Return the names of features of shape (n, features); () if the file has none.

        Raises:
            DataError: If their number differs.
        """
        names = self.names(FEATURE_NAMES) if self.has(FEATURE_NAMES) else ()
        if names and len(names) != values.shape[1]:
            problem = f"has {len(names)} names for {values.shape[1]} features"
            raise self.error(FEATURE_NAMES, problem, "save one name per feature")
        return names

    def pictures(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return pictures with their channels.

        Raises:
            DataError: If the array has no bytes, or another shape.
        """
        if array.dtype != np.uint8:
            hint = "save pictures as uint8 from 0 to 255, or features with shape (n, features)"
            raise self.error(name, f"has shape {array.shape} and type {array.dtype} instead of uint8", hint)
        if array.ndim == 3:
            return array[:, None]
        if array.ndim == 4 and array.shape[1] in (1, 3):
            return array
        hint = "save one channel or three: (n, height, width) or (n, channels, height, width)"
        if array.ndim == 4 and array.shape[3] in (1, 3):
            hint = f"put the channels first: {one_line(name)}.transpose(0, 3, 1, 2)"
        raise self.error(name, f"has shape {array.shape}, which is none of pictures", hint)

    def named(self, name: str, targets: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
        """Return targets as texts, each the name of its class.

        Raises:
            DataError: If a target is no index into the names, and none of them.
        """
        if targets.ndim == 2 or targets.dtype.kind not in "iuU":
            problem = f"has shape {targets.shape} and type {targets.dtype}, which are no indices into {CLASS_NAMES}"
            raise self.error(name, problem, f"save one whole number per input, or leave out {CLASS_NAMES}")
        is_text = targets.dtype.kind == "U"
        wrong = ~np.isin(targets, class_names) if is_text else (targets < 0) | (targets >= len(class_names))
        if wrong.any():
            row = int(wrong.argmax())
            problem = f"has {str(targets[row])!r} at {row}, which is no class of the {len(class_names)} {CLASS_NAMES}"
            raise self.error(name, problem, f"correct it, or add its class to {CLASS_NAMES}")
        return targets if is_text else np.array(class_names)[targets]

    def names(self, name: str) -> tuple[str, ...]:
        array = self.array(name)
        if array.ndim != 1 or array.dtype.kind != "U":
            problem = f"has type {array.dtype} and shape {array.shape} instead of a list of texts"
            raise self.error(name, problem, f"save it as {one_line(name)}=numpy.array(['a', 'b'])")
        names = tuple(str(text) for text in array)
        twice = [text for text in dict.fromkeys(names) if names.count(text) > 1] if len(set(names)) < len(names) else []
        if twice or "" in names:
            problem = f"has {one_line(twice[0])!r} twice" if twice else "has an empty name"
            raise self.error(name, problem, "give each another name")
        return names

    def error(self, name: str, problem: str, hint: str) -> DataError:
        return DataError(f"{self.name}: array '{shown(name)}' {problem}", hint=hint)
