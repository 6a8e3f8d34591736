"""metrics.jsonl and metrics.csv: one row an epoch; trace.jsonl: the inside of the model after some of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

from dlcli.errors import DataError
from dlcli.runs.files import append_text, read_file, sync_file, sync_folder, to_json, write_whole
from dlcli.training.events import EpochEnded, LayerTrace, Trace

JSONL, CSV, TRACE = "metrics.jsonl", "metrics.csv", "trace.jsonl"
_RELIED_UPON = {"step", "train/loss", "epoch_seconds"}
CLOCK = ("epoch_seconds", "examples_per_second")  # the columns that no two runs share

Row: TypeAlias = dict[str, float | int]


def epoch_row(event: EpochEnded) -> Row:
    """Return an epoch as the flat row that is logged."""
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
    """Return the validation metrics of a row by their bare names."""
    return {name.removeprefix("val/"): value for name, value in row.items() if name.startswith("val/")}


def chain_row(digest: str, row: Row) -> str:
    """Return the SHA-256 of a log from that of the rows before (at first, "") and a row; the clock's columns aside."""
    content = to_json({name: value for name, value in row.items() if name not in CLOCK})
    return hashlib.sha256(f"{digest}{content}".encode()).hexdigest()


def log_digest(rows: Iterable[Row]) -> str:
    """Return the SHA-256 of the rows of a log, the clock's columns aside."""
    return reduce(chain_row, rows, "")


def append_row(folder: Path, row: Row, *, is_first: bool) -> None:
    """Add a row to both logs of a run, so that a killed run keeps its past.

    Raises:
        DataError: If they cannot be written.
    """
    append_text(folder / JSONL, to_json(row) + "\n")
    append_text(folder / CSV, csv_text([row], heading=is_first))


def append_trace(folder: Path, epoch: int, trace: Trace) -> None:
    """Add what was seen inside the model after an epoch.

    Raises:
        DataError: If it cannot be written.
    """
    append_text(folder / TRACE, trace_line(epoch, trace))


def trace_line(epoch: int, trace: Trace) -> str:
    """Return what was seen inside the model after an epoch as a line of trace.jsonl."""
    return to_json({"epoch": epoch, **asdict(trace)}) + "\n"


def sync_log(folder: Path) -> None:
    """Make the rows last through a power cut.

    Raises:
        DataError: If that fails.
    """
    for name in (JSONL, CSV, TRACE):
        sync_file(folder / name)
    sync_folder(folder)


def rewrite_log(folder: Path, rows: Sequence[Row]) -> None:
    """Leave these rows and no other in both logs, and what was seen up to the last of them.

    Raises:
        DataError: If they cannot be written.
    """
    write_whole(folder / JSONL, "".join(f"{to_json(row)}\n" for row in rows).encode())
    write_whole(folder / CSV, csv_text(rows, heading=True).encode() if rows else b"")
    traces = read_traces(folder, len(rows))
    write_whole(folder / TRACE, "".join(trace_line(*one) for one in traces.items()).encode())


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of the first epochs, 1, 2, …, up to the first that is missing or damaged."""
    rows: list[Row] = []
    for line in _lines(folder / JSONL):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or row.get("epoch") != len(rows) + 1 or not row.keys() >= _RELIED_UPON:
            break
        rows.append({name: _number(value) for name, value in row.items()})
    return rows


@dataclass(frozen=True)
class LogText:
    """The log to the letter, and its rows.

    Attributes:
        rows: Of the first epochs.
        jsonl: Text of metrics.jsonl.
        csv: Text of metrics.csv.
        trace: Text of trace.jsonl.
    """

    rows: list[Row]
    jsonl: str
    csv: str
    trace: str

    def clock(self, i: int, name: str) -> float | int:
        """Return what the clock said in a row; NaN where there is no such row."""
        return self.rows[i].get(name, math.nan) if i < len(self.rows) else math.nan


def read_log_text(folder: Path) -> LogText:
    """Return the log of a run to the letter; what is missing is empty."""
    texts = [b"\n".join(_lines(folder / name)).decode(errors="backslashreplace") for name in (JSONL, CSV, TRACE)]
    return LogText(read_rows(folder), *texts)


def _lines(path: Path) -> list[bytes]:
    """Return the lines of a log; none if it cannot be read."""
    try:
        return read_file(path).split(b"\n")
    except DataError:
        return []


def read_traces(folder: Path, epochs: int) -> dict[int, Trace]:
    """Return what was seen, by epoch, up to `epochs`; nothing from the first damaged line on."""
    traces: dict[int, Trace] = {}
    for line in _lines(folder / TRACE):
        try:
            record = json.loads(line)
            epoch = int(record["epoch"])
            layers = tuple(
                LayerTrace(
                    gradient_norm=_number(one["gradient_norm"]),
                    weight_norm=_number(one["weight_norm"]),
                    saturated=None if one["saturated"] is None else float(one["saturated"]),
                )
                for one in record["layers"]
            )
            paths = tuple(tuple(float(p) for p in path) for path in record["paths"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            break
        if not max(traces, default=0) < epoch <= epochs:
            break
        traces[epoch] = Trace(layers, paths)
    return traces


def _number(value: Any) -> float | int:
    """Return what was logged: null stands for a number that is not finite, and so does what no float can hold."""
    is_number = isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)
    return value if is_number else math.nan


def csv_text(rows: Sequence[Row], *, heading: bool) -> str:
    """Return rows as they stand in metrics.csv."""
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        writer.writerow(rows[0].keys())
    writer.writerows(row.values() for row in rows)
    return text.getvalue()
