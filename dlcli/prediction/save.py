"""Files of predictions: CSV, JSON lines and Parquet, written part by part and whole or not at all."""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from dlcli.errors import DataError, UsageError, one_line
from dlcli.prediction.output_columns import records_of, table_of
from dlcli.prediction.predict import PredictedPart, Prediction
from dlcli.runs.files import sync_folder
from dlcli.signals import deleted_on_exit

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".jsonl", ".parquet")
Writer: TypeAlias = "Callable[[Prediction, Iterator[PredictedPart], IO[bytes]], None]"


def write_csv(prediction: Prediction, parts: Iterator[PredictedPart], file: IO[bytes]) -> None:
    """Write predictions as CSV in UTF-8, with the names in the first line."""
    for number, part in enumerate(parts):
        file.write(table_of(prediction, part).write_csv(include_header=number == 0).encode())


def write_json_lines(prediction: Prediction, parts: Iterator[PredictedPart], file: IO[bytes]) -> None:
    """Write predictions as one JSON object per line."""
    for part in parts:
        file.write(records_of(prediction, part).write_ndjson().encode())


def write_parquet(prediction: Prediction, parts: Iterator[PredictedPart], file: IO[bytes]) -> None:
    """Write predictions as Parquet; polars pulls the parts from a queue in another thread."""
    from polars.io.plugins import register_io_source

    first = next(parts)
    start = table_of(prediction, first)
    waiting: queue.Queue[pl.DataFrame | None] = queue.Queue(maxsize=2)
    failures: list[BaseException] = []

    def pull(*_: object) -> Iterator[pl.DataFrame]:
        while (frame := waiting.get()) is not None:
            yield frame

    def sink() -> None:
        try:
            register_io_source(pull, schema=start.schema).sink_parquet(file)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=sink, daemon=True)
    thread.start()
    try:
        _put(waiting, start, thread)
        for part in parts:
            _put(waiting, table_of(prediction, part), thread)
    finally:
        _put(waiting, None, thread)
        thread.join()
    if failures:
        raise OSError(one_line(str(failures[0]).splitlines()[0])) from failures[0]


def _put(waiting: queue.Queue[pl.DataFrame | None], frame: pl.DataFrame | None, thread: threading.Thread) -> None:
    """Pass a frame to the writing thread; return without doing so if that thread has ended."""
    while thread.is_alive():
        try:
            return waiting.put(frame, timeout=0.1)
        except queue.Full:
            continue
    return None


_WRITERS: dict[str, Writer] = {".csv": write_csv, ".jsonl": write_json_lines, ".parquet": write_parquet}


def check_output(path: Path) -> None:
    """Check that predictions can be written to a file.

    Raises:
        UsageError: If the suffix is not one of `SUFFIXES`, the folder does not exist, or `path` is a folder.
    """
    name = one_line(str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write predictions to {name}", hint="use a name that ends in .csv, .jsonl or .parquet")
    if path.is_dir():
        raise UsageError(f"{name} is a folder", hint="give the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {one_line(str(path.parent))}", hint="create it with mkdir")


def save_predictions(prediction: Prediction, path: Path) -> None:
    """Write predictions to a file in the format of its suffix; the file appears whole or not at all.

    Raises:
        DataError: If a row cannot be used, or the file cannot be written.
        UsageError: If predictions cannot be written to this file.
    """
    check_output(path)
    with _whole_file(path) as file:
        _WRITERS[path.suffix.lower()](prediction, prediction.parts(), file)


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces `path` at the end; a pipe or a device is written directly."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with target.open("wb") as file:
                yield file
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with deleted_on_exit(temporary):
            with open(temporary, "wb", opener=partial(os.open, mode=0o666)) as file:
                if target.exists():
                    os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            sync_folder(target.parent)
    except OSError as error:
        message = f"cannot write {one_line(str(path))}: {error.strerror or error}"
        raise DataError(message, hint="free some disk space or fix the permissions") from error
