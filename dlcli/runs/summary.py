"""summary.json: the figures of a run, as its log has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.runs.log import Row, row_metrics


def summarize(rows: Sequence[Row], best_epoch: int, monitor: str, best_sha256: str | None) -> dict[str, Any]:
    """Return what a summary says of a log: how many epochs there are, which is best and why.

    Args:
        rows: The log.
        best_epoch: Counted from 1; 0 where no epoch has ended.
        monitor: The metric that chose it, such as `val/loss`.
        best_sha256: Of the checkpoint of that epoch.
    """
    best = rows[best_epoch - 1] if rows else None
    direction = "highest" if monitor.removeprefix("val/") in HIGHER_IS_BETTER else "lowest"
    return {
        "epochs": len(rows),
        "best_epoch": best["epoch"] if best else None,
        "best_because": f"{direction} {monitor}" if best else None,
        "best_sha256": best_sha256,
        "train": {"loss": best["train/loss"]} if best else None,
        "val": row_metrics(best) if best else None,
    }
