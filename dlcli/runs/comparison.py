"""Comparison of runs: differing settings and metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.load import load_config
from dlcli.config.render import flatten, render_value
from dlcli.runs.folder import RunFolder


@dataclass(frozen=True)
class Comparison:
    """Settings and metrics of several runs; every list has one entry per run.

    Attributes:
        runs: Run folders.
        settings: Settings that differ, as YAML; `–` if a run does not have the setting.
        metrics: Metrics by `split/metric`, and `seconds`; None if unknown.
    """

    runs: list[str]
    settings: dict[str, list[str]]
    metrics: dict[str, list[float | None]]


def compare_runs(folders: Sequence[RunFolder]) -> Comparison:
    """Return the differing settings and all metrics of runs.

    Raises:
        DataError: If a run cannot be read.
        ConfigError: If the config of a run cannot be read.
    """
    settings = [flatten(load_config(folder.resolved).config) for folder in folders]
    metrics = [_metrics(folder) for folder in folders]
    return Comparison(
        runs=[str(folder.path) for folder in folders],
        settings={
            key: [render_value(run[key]) if key in run else "–" for run in settings]
            for key in dict.fromkeys(key for run in settings for key in run)
            if len({repr(run.get(key)) for run in settings}) > 1
        },
        metrics={
            key: [run.get(key) for run in metrics] for key in dict.fromkeys(key for run in metrics for key in run)
        },
    )


def _metrics(folder: RunFolder) -> dict[str, float | None]:
    summary = folder.read_summary()
    return {
        **{
            f"{split}/{name}": value
            for split in ("train", "val", "test")
            for name, value in numbers(summary.get(split))
        },
        "seconds": summary.get("seconds"),
    }


def numbers(metrics: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """Return the metrics of a split from a summary, ignoring other values."""
    return [(name, value) for name, value in (metrics or {}).items() if isinstance(value, float)]
