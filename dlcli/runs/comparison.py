"""Comparison of runs: differing settings and metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.render import flatten, render_value
from dlcli.config.schema import Config
from dlcli.runs.labels import label_runs
from dlcli.runs.run import Record, Run
from dlcli.text import format_seconds

_UNBALANCED = 1.5  # macro F1 is shown if the largest class exceeds the smallest by more than this factor


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
    metrics = [_metrics(run) for run in runs]
    if all(is_f1_redundant(class_counts(run)) for run in runs if run.config.task == "classification"):
        metrics = [{key: value for key, value in row.items() if "macro_f1" not in key} for row in metrics]
    return Comparison(
        runs=[run.path for run in runs],
        labels=label_runs(runs),
        settings=differing_settings([run.config for run in runs]),
        metrics={
            key: [values.get(key) for values in metrics]
            for key in sorted(
                dict.fromkeys(key for values in metrics for key in values), key=lambda key: key == "seconds"
            )
        },
    )


def differing_settings(configs: Sequence[Config]) -> dict[str, list[str]]:
    """Return the values of each differing setting in all configs, as YAML; `–` if a config lacks the setting."""
    settings = [flatten(config) for config in configs]
    return {
        key: [render_value(values[key]) if key in values else "–" for values in settings]
        for key in dict.fromkeys(key for values in settings for key in values)
        if len({repr(values.get(key)) for values in settings}) > 1
    }


def is_f1_redundant(counts: Sequence[int]) -> bool:
    """Return whether macro F1 adds little to the accuracy because the classes are balanced.

    Args:
        counts: Number of training examples of each class; empty for regression or if unknown.
    """
    return bool(counts) and max(counts) <= _UNBALANCED * min(counts)


def class_counts(run: Record) -> Sequence[int]:
    """Return the number of training examples of each class; empty for regression or if not recorded."""
    counts = run.manifest.get("class_counts")
    if not isinstance(counts, list) or not all(isinstance(count, int) for count in counts):
        return ()
    return counts


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
    """Return the names and values of the metrics in the summary of a split; values that are not floats are left out."""
    return [(name, value) for name, value in (metrics or {}).items() if isinstance(value, float)]
