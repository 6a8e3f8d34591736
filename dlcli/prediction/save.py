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

import numpy as np

from dlcli.data.tables.records import shown
from dlcli.errors import DataError, UsageError, one_line
from dlcli.prediction.predict import PredictedPart, Prediction
from dlcli.prediction.truth import labels_of, values_of
from dlcli.runs.files import sync_folder
from dlcli.signals import deleted_on_exit

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = (".csv", ".jsonl", ".parquet")
Writer: TypeAlias = "Callable[[Prediction, Iterator[PredictedPart], IO[bytes]], None]"


def table_of(prediction: Prediction, part: PredictedPart) -> pl.DataFrame:
    """Return predictions as the columns of CSV and Parquet files.

    These are `index`, the columns to keep, then `label`, `pred` and `prob_CLASS` for each class, or `target` and
    `output`; with several targets `target_NAME` and `output_NAME` for each. `label` and `target` are there only if the
    input has the true classes or values.
    """
    import polars as pl

    info, frame, values = prediction.info, part.rows.frame, part.values
    series = [pl.Series("index", np.arange(part.first, part.first + len(values)))]
    series += [frame[name] for name in prediction.keep]
    if info.task == "classification":
        labels = labels_of(prediction, part)
        series += [] if labels is None else [labels]
        series += [pl.Series("pred", _predicted(prediction, values), dtype=pl.String)]
        series += [_column(f"prob_{name}", values[:, place]) for place, name in enumerate(info.class_names)]
    else:
        names = [f"_{name}" for name in prediction.predictor.targets] if values.shape[1] > 1 else [""]
        truth = values_of(prediction, part)
        series += [] if truth is None else [_column(f"target{n}", truth[:, i]) for i, n in enumerate(names)]
        series += [_column(f"output{name}", values[:, place]) for place, name in enumerate(names)]
    _check_names([column.name for column in series])
    return pl.DataFrame(series)


def records_of(prediction: Prediction, part: PredictedPart) -> pl.DataFrame:
    """Return predictions as the keys of JSON objects.

    These are `index`, `kept` with the columns to keep, then `label`, `pred` and `probs` by class, or `target` and
    `output`, which are lists if there are several targets. `label` and `target` are there only if the input has the
    true classes or values.
    """
    import polars as pl

    info, frame, values = prediction.info, part.rows.frame, part.values
    series = [pl.Series("index", np.arange(part.first, part.first + len(values)))]
    if prediction.keep:
        series.append(frame.select(prediction.keep).to_struct("kept"))
    if info.task == "classification":
        probs = pl.DataFrame([_column(name, values[:, place]) for place, name in enumerate(info.class_names)])
        is_blank = np.isnan(values[:, 0])
        known = pl.select(pl.when(pl.Series(~is_blank)).then(probs.to_struct("probs"))).to_series().alias("probs")
        series += [known, pl.Series("pred", _predicted(prediction, values), dtype=pl.String)]
        labels = labels_of(prediction, part)
        series += [] if labels is None else [labels]
    else:
        series.append(_outputs("output", values))
        truth = values_of(prediction, part)
        series += [] if truth is None else [_outputs("target", truth)]
    return pl.DataFrame(series)


def _outputs(name: str, values: np.ndarray) -> pl.Series:
    import polars as pl

    if values.shape[1] == 1:
        return _column(name, values[:, 0])
    return pl.Series(name, [None if np.isnan(row).any() else row.tolist() for row in values])


def _column(name: str, values: np.ndarray) -> pl.Series:
    """Return values with null for NaN."""
    import polars as pl

    return pl.Series(name, np.ascontiguousarray(values)).fill_nan(None)


def _predicted(prediction: Prediction, values: np.ndarray) -> list[str | None]:
    """Return the most likely class of each row; None where there is no prediction."""
    names = prediction.info.class_names
    best = np.where(np.isnan(values[:, 0]), -1, np.nan_to_num(values).argmax(1))
    return [names[place] if place >= 0 else None for place in best.tolist()]


def _check_names(names: list[str]) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        message = f"the column to keep '{shown(twice)}' has the name of a column of predictions"
        raise UsageError(message, hint="rename it in the input, or leave it out of --keep")


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
