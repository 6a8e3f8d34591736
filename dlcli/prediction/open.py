"""Opening of an input by its kind: a table, a picture, an array or a data frame, in a file, a pipe or memory."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dlcli.config.schema import NpzData
from dlcli.data.tables.refuse import check_path
from dlcli.errors import DataError, one_line
from dlcli.prediction.inputs import CsvInput, Input, InputLike, ParquetInput, TemporaryInput
from dlcli.prediction.predictor import Predictor
from dlcli.prediction.values import input_of_array, input_of_values, table_only

if TYPE_CHECKING:
    pass

_ZIP, _PARQUET, _PICTURES = b"PK", b"PAR1", (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # first bytes of files


def open_input(source: InputLike, predictor: Predictor) -> Input:
    """Return the rows of an input.

    Args:
        source: Path of a CSV, Parquet or NPZ file, a picture or a folder of pictures; `-` for standard input; a dict of
            columns, a list of dicts, a data frame with the Arrow interface (polars, pandas, pyarrow), or an array with
            the columns in the order of training, or of pixels.
        predictor: Model to predict with.

    Raises:
        DataError: If the input cannot be read.
        UsageError: If the input is none of these, or the model cannot predict for it.
    """
    if isinstance(source, str | os.PathLike):
        if str(source) == "-":
            return _open_pipe(stdin(), "standard input", predictor)
        return _open_path(Path(source), predictor)
    return input_of_values(source, predictor)


@contextmanager
def fitting_hints() -> Iterator[None]:
    """Remove advice to change data settings from hints, because a prediction cannot change the settings of its run."""
    try:
        yield
    except DataError as error:
        if error.hint is None or "data." not in error.hint:
            raise
        useful = [part for part in re.split(r", or |, and |; ", error.hint) if "data." not in part]
        hint = ", or ".join(useful) or "save the table as CSV in UTF-8 with commas between the values, or as Parquet"
        raise DataError(error.message, hint=hint) from error


def stdin() -> IO[bytes]:
    """Return standard input as a new stream, which can be closed without closing standard input."""
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
        return table_only(ParquetInput(path), predictor)
    if start.startswith(_ZIP) and path.suffix.lower() == ".npz":
        return _open_npz(path, predictor)
    if predictor.info.image_shape is not None:
        return _open_pictures(path, predictor, pipe)
    if start.startswith(_PICTURES):
        raise _no_pictures(path)
    from dlcli.data.tables.source import Source

    return CsvInput(Source(path, _encoding(predictor), fits_memory=False), predictor)


def _open_pipe(pipe: IO[bytes], name: str, predictor: Predictor) -> Input:
    """Return the rows of a pipe. All formats but CSV are copied to a temporary file: they are not read in order."""
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
    """Stream of bytes that have been read, followed by the rest of their pipe; the pipe is closed at its end."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int = -1) -> bytes:
        start, self._start = self._start, b""
        data = start or (b"" if self._rest.closed else self._rest.read(size))
        if not data:
            self._rest.close()
        return data


def _encoding(predictor: Predictor) -> str:
    """Return the encoding of CSV files: windows-1252 if the run has it, because files do not show it; else `auto`."""
    encoding = getattr(predictor.data, "encoding", "auto")
    return encoding if encoding == "windows-1252" else "auto"


def _open_npz(path: Path, predictor: Predictor) -> Input:
    from dlcli.data.tables.npz import read_npz_inputs

    data = predictor.data
    arrays = (data.inputs, str(data.target)) if isinstance(data, NpzData) else ("inputs", "targets")
    values, names, labels = read_npz_inputs(path, *arrays)
    return input_of_array(values, names, labels, one_line(str(path)), predictor)


def _open_pictures(path: Path, predictor: Predictor, pipe: str | None = None) -> Input:
    from dlcli.prediction.pictures import PictureInput

    if predictor.info.image_shape is None:
        raise _no_pictures(path)
    return PictureInput(path, predictor, pipe)


def _no_pictures(path: Path) -> DataError:
    kind = "a folder" if path.is_dir() else "a picture"
    message = f"the model predicts for tables, and {one_line(str(path))} is {kind}"
    return DataError(message, hint="give a CSV, Parquet or NPZ file")
