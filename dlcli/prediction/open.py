"""Opening of an input by what it is: a table, a picture, an array or a data frame, in a file, a pipe or memory."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dlcli.config.schema import DigitsData, FashionMnistData, NpzData
from dlcli.data.tables.refuse import check_path
from dlcli.errors import DataError, UsageError, one_line
from dlcli.prediction.inputs import CsvInput, FrameInput, Input, InputLike, ParquetInput, TemporaryInput
from dlcli.prediction.predictor import Predictor

if TYPE_CHECKING:
    import polars as pl

_ZIP, _PARQUET, _PICTURES = b"PK", b"PAR1", (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # starts of files


def open_input(source: InputLike, predictor: Predictor) -> Input:
    """Return the rows of an input.

    Args:
        source: Path of a CSV, Parquet or NPZ file, a picture or a folder of pictures; `-` for standard input; a dict of
            columns, a list of dicts, a data frame with the Arrow interface (polars, pandas, pyarrow), or an array with
            the columns in the order of training, or of pixels.
        predictor: Model to predict with.

    Raises:
        DataError: If the input cannot be read.
        UsageError: If it is none of these, or the model cannot predict for it.
    """
    if isinstance(source, str | os.PathLike):
        if str(source) == "-":
            return _open_pipe(stdin(), "standard input", predictor)
        return _open_path(Path(source), predictor)
    return _open_values(source, predictor)


@contextmanager
def fitting_hints() -> Iterator[None]:
    """Leave out of hints what cannot be done for a prediction: to change the settings of the run's data."""
    try:
        yield
    except DataError as error:
        if error.hint is None or "data." not in error.hint:
            raise
        useful = [part for part in re.split(r", or |, and |; ", error.hint) if "data." not in part]
        hint = ", or ".join(useful) or "save the table as CSV in UTF-8 with commas between the values, or as Parquet"
        raise DataError(error.message, hint=hint) from error


def stdin() -> IO[bytes]:
    """Return standard input as a new stream, which may be closed."""
    return os.fdopen(os.dup(sys.stdin.fileno()), "rb")


def _open_path(path: Path, predictor: Predictor, *, pipe: str | None = None) -> Input:
    """Return the rows of a file or folder; `pipe` is the name of the pipe that a temporary file was copied from."""
    if path.is_dir():
        return _open_pictures(path, predictor)
    if path.is_fifo():
        return _open_pipe(path.open("rb"), one_line(str(path)), predictor)
    check_path(path, is_setting=False)
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(f"cannot read {one_line(str(path))}: {error.strerror}") from error
    if start.startswith(_PARQUET):
        return _table_only(ParquetInput(path), predictor)
    if start.startswith(_ZIP) and path.suffix.lower() == ".npz":
        return _open_npz(path, predictor)
    if predictor.info.image_shape is not None:
        return _open_pictures(path, predictor, pipe)
    if start.startswith(_PICTURES):
        raise _no_pictures(path)
    from dlcli.data.tables.source import Source

    return CsvInput(Source(path, _encoding(predictor)), predictor)


def _open_pipe(pipe: IO[bytes], name: str, predictor: Predictor) -> Input:
    """Return the rows of a pipe; what is no CSV file is copied to a temporary file, because it is not read in order."""
    from dlcli.data.tables.stream import PipeSource

    start = pipe.read(16)
    rest = _Joined(start, pipe)
    if start.startswith((_PARQUET, _ZIP)) or predictor.info.image_shape is not None:
        with tempfile.NamedTemporaryFile(suffix=".npz" if start.startswith(_ZIP) else "", delete=False) as file:
            path = Path(file.name)
            try:
                while block := rest.read(1 << 20):
                    file.write(block)
                file.flush()
                opened = _open_path(path, predictor, pipe=name)
            except BaseException:
                path.unlink()
                raise
        return TemporaryInput(opened, path, name)
    return CsvInput(PipeSource(rest, name, _encoding(predictor)), predictor)


class _Joined(io.RawIOBase):
    """Bytes that have been read, followed by the rest of their pipe, which is closed at its end."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int = -1) -> bytes:
        start, self._start = self._start, b""
        data = start or (b"" if self._rest.closed else self._rest.read(size))
        if not data:
            self._rest.close()
        return data


def _encoding(predictor: Predictor) -> str:
    """Return the encoding to read CSV files in: that of the run if it is none that a file shows by itself."""
    encoding = getattr(predictor.data, "encoding", "auto")
    return encoding if encoding == "windows-1252" else "auto"


def _table_only(opened: Input, predictor: Predictor) -> Input:
    if shape := predictor.info.image_shape:
        message = f"the model predicts for pictures of {'×'.join(map(str, shape))} pixels, and {opened.name} is a table"
        raise DataError(message, hint="give a picture, a folder of pictures or an NPZ file")
    return opened


def _open_npz(path: Path, predictor: Predictor) -> Input:
    from dlcli.data.tables.npz import read_npz_inputs

    data = predictor.data
    arrays = (data.inputs, str(data.target)) if isinstance(data, NpzData) else ("inputs", "targets")
    values, names, labels = read_npz_inputs(path, *arrays)
    return _from_array(values, names, labels, one_line(str(path)), predictor)


def _open_pictures(path: Path, predictor: Predictor, pipe: str | None = None) -> Input:
    from dlcli.prediction.pictures import PictureInput

    if predictor.info.image_shape is None:
        raise _no_pictures(path)
    return PictureInput(path, predictor, pipe)


def _no_pictures(path: Path) -> DataError:
    kind = "a folder" if path.is_dir() else "a picture"
    message = f"the model predicts for tables, and {one_line(str(path))} is {kind}"
    return DataError(message, hint="give a CSV, Parquet or NPZ file")


def _open_values(source: InputLike, predictor: Predictor) -> Input:
    import polars as pl

    try:
        if isinstance(source, pl.DataFrame):
            return _table_only(FrameInput(source, "data"), predictor)
        if isinstance(source, Mapping):
            return _table_only(FrameInput(pl.DataFrame(dict(source), strict=False), "data"), predictor)
        if isinstance(source, Sequence) and source and all(isinstance(row, Mapping) for row in source):
            rows = pl.from_dicts([dict(row) for row in source], infer_schema_length=None, strict=False)
            return _table_only(FrameInput(rows, "data"), predictor)
        if hasattr(source, "__arrow_c_stream__"):
            return _table_only(FrameInput(pl.DataFrame(source), "data"), predictor)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        reason = one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise UsageError(f"the data cannot be read as a table: {reason}") from error
    with suppress(TypeError, ValueError):
        array = source.numpy(force=True) if isinstance(source, Tensor) else np.asarray(source)
        if array.dtype != object or (array.ndim == 2 and predictor.columns):
            return _from_array(array, (), None, "data", predictor)
    hint = "give a path, a dict of columns, a list of dicts, a data frame or an array"
    raise UsageError(f"cannot predict for a value of type {type(source).__name__}", hint=hint)


def _from_array(
    values: np.ndarray, names: Sequence[str], labels: np.ndarray | None, name: str, predictor: Predictor
) -> Input:
    """Return the rows of an array.

    Args:
        values: Array of shape (N, columns), or (N, ...) of pixels.
        names: Names of its columns; () if they are in the order of training.
        labels: True classes or values of shape (N,) or (N, targets), if they are known.
        name: Name of the input in messages.
        predictor: Model to predict with.
    """
    import polars as pl

    frame = pl.DataFrame()
    if labels is not None:
        if isinstance(predictor.data, FashionMnistData) and labels.dtype.kind in "iu" and labels.ndim == 1:
            labels = _named(labels, predictor.info.class_names)
        columns = labels.reshape(len(labels), -1).T
        frame = pl.DataFrame(dict(zip(predictor.targets, map(_as_series, columns), strict=False)))
    if not predictor.columns:
        pixels = _as_pixels(values, name, predictor)
        return FrameInput(frame if frame.width else pl.DataFrame({"row": np.arange(len(values))}), name, pixels)
    expected = [column.name for column in predictor.columns]
    if values.ndim != 2 or (not names and values.shape[1] != len(expected)):
        message = f"{name} has shape {values.shape}, the model predicts from (N, {len(expected)})"
        raise UsageError(message, hint=f"columns in order: {', '.join(expected[:20])}")
    series = dict(zip(names or expected, map(_as_series, values.T), strict=True))
    return FrameInput(pl.DataFrame(series).hstack(frame.select(set(frame.columns) - series.keys())), name)


def _named(labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return the names of classes that are given by their place, as in the files of Fashion-MNIST."""
    is_class = (labels >= 0) & (labels < len(class_names))
    return np.where(is_class, np.array(class_names)[np.where(is_class, labels, 0)], labels.astype(str))


def _as_series(values: np.ndarray) -> pl.Series:
    import polars as pl

    if values.dtype.kind in "OU":
        return pl.Series([None if value is None else value for value in values.tolist()], strict=False)
    return pl.Series(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))


def _as_pixels(values: np.ndarray, name: str, predictor: Predictor) -> Tensor:
    shape, count = predictor.info.image_shape, predictor.info.in_features
    if values.ndim == 4 and shape is not None and values.shape[1:] == (*shape[1:], shape[0]) != shape:
        values = values.transpose(0, 3, 1, 2)  # channels last
    if values.ndim < 2 or values[:1].size != count * len(values[:1]) or values.dtype.kind not in "fiub":
        sizes = "×".join(map(str, shape or (count,)))
        raise UsageError(f"{name} has shape {values.shape} and type {values.dtype}, the model predicts from N×{sizes}")
    pixels = torch.from_numpy(np.ascontiguousarray(values.reshape(len(values), count)))
    if pixels.dtype == torch.uint8:
        return pixels
    pixels = pixels.double()
    if not pixels.isfinite().all():
        raise UsageError(f"{name} contains a value that is not a finite number")
    has_bytes = shape is not None and not isinstance(predictor.data, DigitsData)
    if has_bytes and len(pixels):
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 255 or (high <= 1 and pixels.frac().any()):
            message = f"{name} has pixels from {low:.3g} to {high:.3g}, the model takes those from 0 to 255"
            raise UsageError(message, hint="give them as they were before scaling")
    return pixels
