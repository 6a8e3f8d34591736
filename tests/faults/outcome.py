"""Comparable results of a run, without timings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dlcli.errors import DlcliError
from dlcli.runs.checkpoint import load_checkpoint
from dlcli.runs.log import CLOCK
from dlcli.runs.tensor_file import DamagedError

# A small model with momentum, dropout and two groups of batches per epoch.
SETTINGS = [
    "model={hidden_sizes: [8], dropout: 0.2}",
    "optimizer.momentum=0.9",
    "training={epochs: 2, batch_size: 256}",
]
TRAIN = ["train", "-c", "digits", *SETTINGS, "checkpoint.every_seconds=1e-9", "--run-dir", "runs/run"]
RESUME = ["train", "--resume", "runs/run"]


def outcome(run: Path) -> dict[str, Any]:
    """Return log, trace and summary without timings, the epochs of the CSV, and the bytes of `best` and `last`."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    return {
        "rows": [{name: value for name, value in row.items() if name not in CLOCK} for row in rows],
        "trace": (run / "trace.jsonl").read_text(),
        "csv": [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()],
        "summary": {name: value for name, value in summary.items() if name != "seconds"},
        **{which: (run / "checkpoints" / f"{which}.safetensors").read_bytes() for which in ("best", "last")},
    }


def damaged_checkpoints(run: Path) -> list[Path]:
    """Return the paths of damaged checkpoints."""
    damaged = []
    for path in run.glob("checkpoints/*.safetensors"):
        try:
            load_checkpoint(path)
        except DamagedError:
            damaged.append(path)
        except DlcliError as error:
            raise AssertionError(error) from error
    return damaged
