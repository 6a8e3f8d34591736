"""metrics.jsonl and metrics.csv: one row an epoch."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from dlcli.runs.files import append_text, sync_file, sync_folder, to_json, write_whole
from dlcli.training.events import EpochEnded

JSONL, CSV = "metrics.jsonl", "metrics.csv"
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


def append_row(folder: Path, row: Row, *, is_first: bool) -> None:
    """Add a row to both logs of a run, so that a killed run keeps its past.

    Raises:
        DataError: If they cannot be written.
    """
    append_text(folder / JSONL, to_json(row) + "\n")
    append_text(folder / CSV, _csv([row], heading=is_first))


def sync_log(folder: Path) -> None:
    """Make the rows last through a power cut.

    Raises:
        DataError: If that fails.
    """
    sync_file(folder / JSONL)
    sync_file(folder / CSV)
    sync_folder(folder)


def rewrite_log(folder: Path, rows: Sequence[Row]) -> None:
    """Leave these rows and no other in both logs.

    Raises:
        DataError: If they cannot be written.
    """
    write_whole(folder / JSONL, "".join(f"{to_json(row)}\n" for row in rows).encode())
    write_whole(folder / CSV, _csv(rows, heading=True).encode() if rows else b"")


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of the first epochs, 1, 2, …, up to the first that is missing or damaged."""
    rows: list[Row] = []
    try:
        lines = (folder / JSONL).read_bytes().split(b"\n")
    except OSError:
        return rows
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict) or row.get("epoch") != len(rows) + 1 or not row.keys() >= _RELIED_UPON:
            break
        rows.append({name: _number(value) for name, value in row.items()})
    return rows


def _number(value: Any) -> float | int:
    """Return what was logged: null stands for a number that is not finite."""
    return value if isinstance(value, (int, float)) else math.nan


def _csv(rows: Sequence[Row], *, heading: bool) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    if heading:
        writer.writerow(rows[0].keys())
    writer.writerows(row.values() for row in rows)
    return text.getvalue()
