"""Metrics log of a run (metrics.jsonl, metrics.csv) and traces of its layers (trace.jsonl)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

from dlcli.errors import DataError
from dlcli.runs.files import append_text, read_file, sync_file, sync_folder, to_json, write_atomic
from dlcli.training.events import EpochEnded, LayerTrace, Trace

JSONL, CSV, TRACE = "metrics.jsonl", "metrics.csv", "trace.jsonl"
_REQUIRED = {"step", "train/loss", "epoch_seconds"}
CLOCK = ("epoch_seconds", "examples_per_second")  # columns that differ between identical runs

Row: TypeAlias = dict[str, float | int]


def epoch_row(event: EpochEnded) -> Row:
    """Return the log row of an epoch."""
    return {
        "epoch": event.epoch,
        "step": event.step,
        "lr": event.lr,
        "train/loss": event.train_loss,
        **{f"val/{name}": value for name, value in event.val.items()},
        "epoch_seconds": event.epoch_seconds,
        "examples_per_second": event.examples_per_second,
    }


def row_metrics(row: Mapping[str, float | int]) -> dict[str, float]:
    """Return the validation metrics of a row, without the prefix `val/`."""
    return {name.removeprefix("val/"): value for name, value in row.items() if name.startswith("val/")}


def chain_row(digest: str, row: Row) -> str:
    """Return the SHA-256 of a log extended by a row.

    Args:
        digest: SHA-256 of the rows before; empty for the first row.
        row: Row to add; its timing columns are ignored.
    """
    content = to_json({name: value for name, value in row.items() if name not in CLOCK})
    return hashlib.sha256(f"{digest}{content}".encode()).hexdigest()


def log_digest(rows: Iterable[Row]) -> str:
    """Return the SHA-256 of the rows of a log, ignoring timing columns."""
    return reduce(chain_row, rows, "")


def append_row(folder: Path, row: Row, *, is_first: bool) -> None:
    """Append a row to metrics.jsonl and metrics.csv.

    Raises:
        DataError: If a file cannot be written.
    """
    append_text(folder / JSONL, to_json(row) + "\n")
    append_text(folder / CSV, csv_text([row], heading=is_first))


def append_trace(folder: Path, epoch: int, trace: Trace) -> None:
    """Append the trace of an epoch to trace.jsonl.

    Raises:
        DataError: If the file cannot be written.
    """
    append_text(folder / TRACE, trace_line(epoch, trace))


def trace_line(epoch: int, trace: Trace) -> str:
    """Return the line of trace.jsonl for an epoch."""
    return trace_json(epoch, trace) + "\n"


def trace_json(epoch: int, trace: Trace) -> str:
    """Return the trace of an epoch as JSON."""
    layers = [vars(layer) for layer in trace.layers]  # asdict copies every number
    return to_json({"epoch": epoch, "layers": layers, "paths": trace.paths})


def sync_log(folder: Path, *, is_new: bool) -> None:
    """Flush the log to disk so that it survives a power cut.

    Args:
        folder: Run folder.
        is_new: Whether the files were created since the folder was flushed.

    Raises:
        DataError: If a file cannot be flushed.
    """
    for name in (JSONL, CSV, TRACE):
        sync_file(folder / name)
    if is_new:
        sync_folder(folder)


def rewrite_log(folder: Path, rows: Sequence[Row]) -> None:
    """Reduce the log to the given rows, which a checkpoint refers to, and drop the traces of epochs after the last row.

    Raises:
        DataError: If a file cannot be written.
    """
    _replace(folder / JSONL, "".join(f"{to_json(row)}\n" for row in rows).encode())
    _replace(folder / CSV, csv_text(rows, heading=True).encode() if rows else b"")
    traces = read_traces(folder, len(rows))
    _replace(folder / TRACE, "".join(trace_line(*item) for item in traces.items()).encode())


def _replace(path: Path, content: bytes) -> None:
    """Replace the content of a file; if nothing changes, it was flushed to disk before the checkpoint was."""
    with suppress(DataError):
        if not path.is_symlink() and read_file(path) == content:
            return
    write_atomic(path, content)


def read_rows(folder: Path) -> list[Row]:
    """Load the log rows of epochs 1, 2, … up to the first missing or damaged row."""
    return parse_rows(_lines(folder / JSONL))


def parse_rows(lines: Iterable[bytes]) -> list[Row]:
    """Return the rows in lines of a log; see `read_rows`."""
    rows: list[Row] = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or row.get("epoch") != len(rows) + 1 or not row.keys() >= _REQUIRED:
            break
        rows.append({name: _number(value) for name, value in row.items()})
    return rows


@dataclass(frozen=True)
class LogText:
    """Exact text of the log files, and the parsed rows.

    Attributes:
        rows: Rows up to the first missing or damaged row.
        jsonl: Text of metrics.jsonl.
        csv: Text of metrics.csv.
        trace: Text of trace.jsonl.
    """

    rows: list[Row]
    jsonl: str
    csv: str
    trace: str

    def clock(self, i: int, name: str) -> float | int:
        """Return the timing column `name` of row `i`; NaN if the row does not exist."""
        return self.rows[i].get(name, math.nan) if i < len(self.rows) else math.nan


def read_log_text(folder: Path) -> LogText:
    """Load the text of the log files; a missing file counts as empty."""
    texts = [b"\n".join(_lines(folder / name)).decode(errors="backslashreplace") for name in (JSONL, CSV, TRACE)]
    return LogText(read_rows(folder), *texts)


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a file; an empty list if it cannot be read."""
    try:
        return read_file(path).split(b"\n")
    except DataError:
        return []


def read_traces(folder: Path, epochs: int) -> dict[int, Trace]:
    """Load the traces by epoch, up to epoch `epochs` or the first damaged line."""
    traces: dict[int, Trace] = {}
    for line in _lines(folder / TRACE):
        try:
            record = json.loads(line)
            epoch = int(record["epoch"])
            layers = tuple(
                LayerTrace(
                    gradient_norm=_number(layer["gradient_norm"]),
                    weight_norm=_number(layer["weight_norm"]),
                    saturated=None if layer["saturated"] is None else float(layer["saturated"]),
                )
                for layer in record["layers"]
            )
            paths = tuple(tuple(float(p) for p in path) for path in record["paths"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            break
        if not max(traces, default=0) < epoch <= epochs:
            break
        traces[epoch] = Trace(layers, paths)
    return traces


def _number(value: Any) -> float | int:
    """Return a logged number; null, which stands for a non-finite number, and invalid values become NaN."""
    is_number = isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)
    return value if is_number else math.nan


def csv_text(rows: Sequence[Row], *, heading: bool) -> str:
    """Return rows in the format of metrics.csv."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        writer.writerow(rows[0].keys())
    writer.writerows(row.values() for row in rows)
    return text.getvalue()
