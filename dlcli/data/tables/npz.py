"""Reading of NPZ files of inputs and targets."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dlcli.data.tables.records import shown
from dlcli.data.tables.refuse import check_path
from dlcli.data.tables.source import free_memory
from dlcli.errors import DataError, one_line


class NpzArrays(NamedTuple):
    """Arrays of an NPZ file with n examples.

    Attributes:
        inputs: Numbers or booleans of shape (n, ...).
        targets: Numbers, booleans or texts of shape (n,), or numbers of shape (n, targets).
        class_names: Names of the classes 0, 1, …; None if not asked for.
        feature_names: Names of the values of one input; None if not asked for.
        sha256: SHA-256 of the bytes of the file.
    """

    inputs: np.ndarray
    targets: np.ndarray
    class_names: tuple[str, ...] | None
    feature_names: tuple[str, ...] | None
    sha256: str


def read_npz(
    path: Path, inputs: str, targets: str, class_names: str | None = None, feature_names: str | None = None
) -> NpzArrays:
    """Read arrays by name from an NPZ file, never with pickle. NaN is a missing value.

    Args:
        path: Local file, written by numpy.savez or savez_compressed.
        inputs: Name of the array of inputs.
        targets: Name of the array of targets.
        class_names: Name of a one-dimensional array of texts.
        feature_names: Name of a one-dimensional array of texts.

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
    if wanted.ndim not in (1, 2) or len(wanted) != len(values):
        problem = f"has shape {wanted.shape}, which does not fit {len(values)} inputs"
        raise file.error(targets, problem, "save one target, or one row of targets, per input")
    if wanted.dtype.kind != "U" or wanted.ndim == 2:
        file.check_numbers(targets, wanted)
    if not len(values):
        raise file.error(inputs, "has no examples", "save at least two examples")
    names = file.names(feature_names)
    count = int(np.prod(values.shape[1:]))
    if feature_names is not None and names is not None and len(names) != count:
        raise file.error(feature_names, f"has {len(names)} names for {count} features", "save one name per feature")
    return NpzArrays(values, wanted, file.names(class_names), names, file.sha256)


class _File:
    def __init__(self, path: Path) -> None:
        self._path, self._name = path, one_line(str(path))
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            hint = "save the arrays with numpy.savez(FILE, inputs=..., targets=...)"
            raise DataError(f"{self._name} is not an NPZ file, or it is damaged", hint=hint) from error
        self._sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in entries}

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
        if not isinstance(array, np.ndarray):
            raise self.error(name, "is no array", "save the file again with numpy.savez")
        return array

    def check_numbers(self, name: str, array: np.ndarray) -> None:
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            hint = "save it as float64, float32, integers or booleans"
            raise self.error(name, f"has type {array.dtype} instead of numbers", hint)
        if array.dtype.kind == "f" and np.isinf(array).any():
            place = tuple(int(index) for index in np.argwhere(np.isinf(array))[0])
            count = int(np.isinf(array).sum())
            raise self.error(name, f"has {count:,} infinite values, the first at {place}", "replace them, or use NaN")

    def names(self, name: str | None) -> tuple[str, ...] | None:
        if name is None:
            return None
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
        return DataError(f"{self._name}: array '{shown(name)}' {problem}", hint=hint)
