"""Comparison of runs: differing settings and metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.render import flatten, render_value
from dlcli.runs.labels import label_runs
from dlcli.runs.run import Run
from dlcli.text import format_seconds

_UNBALANCED = 0.02  # difference of accuracy and macro F1 from which both are shown; it is 0 for balanced classes


@dataclass(frozen=True)
class Comparison:
    """Settings and metrics of several runs; every list has one entry per run.

    Attributes:
        runs: Run folders.
        labels: Short unique labels, from the settings that differ.
        settings: Settings that differ, as YAML; `–` if a run does not have the setting.
        metrics: Metrics by `split/metric`, and `seconds`; None if unknown.
    """

    runs: list[str]
    labels: list[str]
    settings: dict[str, list[str]]
    metrics: dict[str, list[float | None]]


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Return the differing settings and all metrics of runs.

    Raises:
        DataError: If a run cannot be read.
        ConfigError: If the config of a run cannot be read.
    """
    settings = [flatten(run.config) for run in runs]
    metrics = _without_redundant_f1([_metrics(run) for run in runs])
    return Comparison(
        runs=[run.path for run in runs],
        labels=label_runs(runs),
        settings={
            key: [render_value(values[key]) if key in values else "–" for values in settings]
            for key in dict.fromkeys(key for values in settings for key in values)
            if len({repr(values.get(key)) for values in settings}) > 1
        },
        metrics={
            key: [values.get(key) for values in metrics]
            for key in sorted(
                dict.fromkeys(key for values in metrics for key in values), key=lambda key: key == "seconds"
            )
        },
    )


def _without_redundant_f1(metrics: Sequence[dict[str, float | None]]) -> Sequence[dict[str, float | None]]:
    """Leave out macro F1 where it is close to the accuracy in every run, because the classes are balanced."""
    for split in ("train", "val", "test"):
        if all(is_f1_redundant(values, f"{split}/") for values in metrics):
            for values in metrics:
                values.pop(f"{split}/macro_f1", None)
    return metrics


def is_f1_redundant(metrics: Mapping[str, float | None], prefix: str = "") -> bool:
    """Return whether macro F1 is missing or close to the accuracy, as it is where classes are balanced."""
    accuracy, f1 = metrics.get(f"{prefix}accuracy"), metrics.get(f"{prefix}macro_f1")
    return accuracy is None or f1 is None or abs(accuracy - f1) < _UNBALANCED


def _metrics(run: Run) -> dict[str, float | None]:
    splits = {"train": run.summary.get("train"), "val": run.summary.get("val"), "test": run.test}
    values = {f"{split}/{name}": value for split, metrics in splits.items() for name, value in numbers(metrics)}
    return {**values, "seconds": run.summary.get("seconds")}


def format_metric(value: float | None) -> str:
    """Return a metric with four decimals, or three digits if it is very small or large; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:.3g}"


def format_time(seconds: float | None) -> str:
    """Return a time with its unit, such as `7.4 s`; a dash for None."""
    return "–" if seconds is None else format_seconds(seconds)


def numbers(metrics: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """Return the metrics of a split from a summary, ignoring other values."""
    return [(name, value) for name, value in (metrics or {}).items() if isinstance(value, float)]
