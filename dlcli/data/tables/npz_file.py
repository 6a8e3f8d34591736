"""NPZ file whose arrays are checked when they are read."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.records import shown
from dlcli.data.tables.source import free_memory
from dlcli.errors import DataError, one_line

if TYPE_CHECKING:
    pass
CLASS_NAMES, FEATURE_NAMES = "class_names", "feature_names"  # optional arrays


class NpzFile:
    """NPZ file.

    Args:
        path: File.

    Attributes:
        name: Path on one line, for messages.
        sha256: SHA-256 of the file.

    Raises:
        DataError: If the file is no NPZ file.
    """

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
        """Return whether the file has an array of this name."""
        return name in self._sizes

    def array(self, name: str) -> np.ndarray:
        """Return an array.

        Raises:
            DataError: If the array is missing, damaged, larger than the free memory or made of Python objects.
        """
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
        """Check that an array has numbers, none of them infinite.

        Raises:
            DataError: If the array has another type, or a number is infinite.
        """
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
            DataError: If the shape does not fit.
        """
        if targets.ndim not in (1, 2) or len(targets) != n:
            problem = f"has shape {targets.shape}, which does not fit {n} inputs"
            raise self.error(name, problem, "save one target, or one row of targets, per input")

    def feature_names(self, values: np.ndarray) -> tuple[str, ...]:
        """Return the names of features of shape (n, features); () if the file has none.

        Raises:
            DataError: If there is not one name per feature.
        """
        names = self.names(FEATURE_NAMES) if self.has(FEATURE_NAMES) else ()
        if names and len(names) != values.shape[1]:
            problem = f"has {len(names)} names for {values.shape[1]} features"
            raise self.error(FEATURE_NAMES, problem, "save one name per feature")
        return names

    def pictures(self, name: str, array: np.ndarray) -> np.ndarray:
        """Return pictures of shape (n, channels, height, width); the channel axis is added if it is missing.

        Raises:
            DataError: If the array is not uint8, or has another shape.
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
        """Return the name of the class of each target.

        Raises:
            DataError: If a target is neither an index into the names nor one of them.
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
        """Return an array of distinct texts, none of them empty.

        Raises:
            DataError: If the array has another type or shape, or a text is empty or occurs twice.
        """
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
        """Return an error about an array."""
        return DataError(f"{self.name}: array '{shown(name)}' {problem}", hint=hint)
