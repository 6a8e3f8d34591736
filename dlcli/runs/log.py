"""metrics.jsonl and metrics.csv: one row an epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from dlcli.errors import DataError
from dlcli.runs.files import to_json
from dlcli.training.events import EpochEnded

JSONL, CSV = "metrics.jsonl", "metrics.csv"


def epoch_row(event: EpochEnded) -> dict[str, float | int]:
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


def append_row(folder: Path, row: Mapping[str, float | int]) -> None:
    """Add a row to both logs of a run; both are flushed, so that a killed run keeps its past.

    Raises:
        DataError: If they cannot be written.
    """
    try:
        with open(folder / JSONL, "a", encoding="utf-8") as file:
            file.write(to_json(row) + "\n")
        with open(folder / CSV, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(row.keys())
            writer.writerow(row.values())
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror or error}") from error
