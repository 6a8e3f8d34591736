"""Pictures to predict for: one file, or a folder of any depth."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from dlcli.config.schema import FashionMnistData, ImageFolderData
from dlcli.data.class_folders import is_junk, natural_key
from dlcli.data.image_folder import count_threads, read_picture_file
from dlcli.errors import DataError, one_line
from dlcli.prediction.inputs import Input, Part
from dlcli.prediction.predictor import Predictor

FILE = "file"  # column with the path of a picture below the folder
_PART = 256  # pictures per part


def picture_settings(predictor: Predictor) -> ImageFolderData:
    """Return the settings that turn pictures into pixels as in the training of a model.

    Raises:
        DataError: If the pixels that the model was trained on have no known range.
    """
    data, shape = predictor.data, predictor.info.image_shape
    if isinstance(data, ImageFolderData):
        return data
    assert shape is not None
    is_mnist = isinstance(data, FashionMnistData)
    if not is_mnist and data.name != "npz":
        message = f"a model of {data.name} predicts for pixels from 0 to 16, not for pictures"
        raise DataError(message, hint="give an NPZ file with the array `inputs`")
    padding = data.pad if isinstance(data, FashionMnistData) else 0
    channels, height, width = shape
    return ImageFolderData(
        name="image_folder",
        size=(height - 2 * padding, width - 2 * padding),
        color_mode="grayscale" if channels == 1 else "rgb",
        background="black",
    )


class PictureInput(Input):
    """Pictures in the natural order of their paths; other files are skipped and listed in `skipped`.

    A folder of class folders also has a column with the true class of each picture: the name of its class folder.

    Args:
        path: A picture, or a folder.
        predictor: Model to predict with.
        name: Name of a picture to show instead of its path.

    Raises:
        DataError: If a folder cannot be read, or has no files.
    """

    def __init__(self, path: Path, predictor: Predictor, name: str | None = None) -> None:
        self.name, self._settings = name or one_line(str(path)), picture_settings(predictor)
        self._padding = predictor.data.pad if isinstance(predictor.data, FashionMnistData) else 0
        self._is_folder = path.is_dir()
        self._root = path if self._is_folder else path.parent
        self._files = _list_files(path) if self._is_folder else [path.name]
        if not self._files:
            raise DataError(f"{self.name} has no files", hint="give a picture, or a folder of pictures")
        self._target = predictor.targets[0]
        self._names = [name] if name else [_as_text(path) for path in self._files]
        self._labels = _class_folders(self._files, predictor.info.class_names)
        self.columns = [FILE, *([self._target] if self._labels else [])]
        self.shown = (FILE,)
        self.skipped: list[str] = []

    def parts(self, _wanted: Sequence[str], _numbers: Sequence[str], /) -> Iterator[Part]:
        """Yield the pictures in order."""
        from dlcli.data.pictures import decoding

        with decoding(), ThreadPoolExecutor(count_threads([str(self._root / name) for name in self._files])) as pool:
            for start in range(0, len(self._files), _PART):
                yield self._read(range(start, min(start + _PART, len(self._files))), pool)

    def _read(self, chosen: Sequence[int], pool: ThreadPoolExecutor) -> Part:
        import polars as pl

        from dlcli.data.pictures import NotAPictureError

        names: list[str] = []
        places: list[str] = []
        labels: list[str] = []
        pixels: list[np.ndarray] = []
        failures: dict[int, str] = {}
        for number, read in zip(chosen, pool.map(self._decode, chosen), strict=True):
            if isinstance(read, NotAPictureError):
                self.skipped.append(self._names[number])
                continue
            if isinstance(read, ValueError):
                failures[len(names)] = one_line(str(read))
                read = np.zeros(self._shape, dtype=np.uint8)
            pixels.append(read)
            names.append(self._names[number])
            places.append(one_line(str(self._root / self._files[number])) if self._is_folder else self.name)
            labels += [self._labels[number]] if self._labels else []
        frame = pl.DataFrame({FILE: names} | ({self._target: labels} if self._labels else {}))
        stored = np.stack(pixels).reshape(len(pixels), -1) if pixels else np.zeros((0, int(np.prod(self._shape))))
        return Part(frame, places.__getitem__, torch.from_numpy(stored), failures)

    @property
    def _shape(self) -> tuple[int, int, int]:
        height, width = (side + 2 * self._padding for side in self._settings.size)
        return 3 if self._settings.color_mode == "rgb" else 1, height, width

    def _decode(self, number: int) -> np.ndarray | ValueError:
        from dlcli.data.pictures import decode_picture

        try:
            path = self._root / self._files[number]
            picture = decode_picture(read_picture_file(str(path)), path.name, self._settings)
        except ValueError as error:
            return error
        return np.pad(picture, ((0, 0), *[(self._padding, self._padding)] * 2))


def _list_files(folder: Path) -> list[str]:
    """Return the paths of the files below a folder, relative to it, without hidden and system files."""

    def fail(error: OSError) -> None:
        raise DataError(f"cannot read {one_line(str(error.filename))}: {error.strerror}", hint="check its permissions")

    found = []
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not is_junk(name)]
        found += [os.path.relpath(os.path.join(root, name), folder) for name in files if not is_junk(name)]
    return sorted(found, key=lambda path: [natural_key(part) for part in path.split(os.sep)])


def _class_folders(files: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Return the class folder of each file; [] unless all are in first-level folders and one is named like a class."""
    parts = [path.split(os.sep) for path in files]
    labels = [_as_text(unicodedata.normalize("NFC", part[0])) for part in parts]
    is_labelled = all(len(part) == 2 for part in parts) and not set(class_names).isdisjoint(labels)
    return labels if is_labelled else []


def _as_text(path: str) -> str:
    """Return a path in which the bytes that the encoding of the system cannot decode are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
