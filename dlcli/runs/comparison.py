"""Comparison of runs: differing settings and metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.render import flatten, render_value
from dlcli.runs.run import Run


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


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Return the differing settings and all metrics of runs.

    Raises:
        DataError: If a run cannot be read.
        ConfigError: If the config of a run cannot be read.
    """
    settings = [flatten(run.config) for run in runs]
    metrics = [_metrics(run.summary) for run in runs]
    return Comparison(
        runs=[run.path for run in runs],
        settings={
            key: [render_value(values[key]) if key in values else "–" for values in settings]
            for key in dict.fromkeys(key for values in settings for key in values)
            if len({repr(values.get(key)) for values in settings}) > 1
        },
        metrics={
            key: [values.get(key) for values in metrics]
            for key in dict.fromkeys(key for values in metrics for key in values)
        },
    )


def _metrics(summary: Mapping[str, Any]) -> dict[str, float | None]:
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
