"""Summary of a run: number of epochs, best epoch and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.runs.log import Row, row_metrics


def summarize(rows: Sequence[Row], best_epoch: int, monitor: str, best_sha256: str | None) -> dict[str, Any]:
    """Return the summary of a log.

    Args:
        rows: Log rows of all epochs.
        best_epoch: Number of the best epoch, from 1; 0 before the end of the first epoch.
        monitor: Metric that selects the best epoch, such as `val/loss`, or `train/loss` without a validation split.
        best_sha256: SHA-256 of the best checkpoint.
    """
    best = rows[best_epoch - 1] if rows else None
    direction = "highest" if monitor.rpartition("/")[2] in HIGHER_IS_BETTER else "lowest"
    return {
        "epochs": len(rows),
        "best_epoch": best["epoch"] if best else None,
        "best_because": f"{direction} {monitor}" if best else None,
        "best_sha256": best_sha256,
        "train": {"loss": best["train/loss"]} if best else None,
        "val": row_metrics(best) if best else None,
    }
