"""Where runs differ: their settings and their figures side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.render import flatten, render_value
from dlcli.runs.run import Run


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; every list has an entry for each.

    Attributes:
        runs: Their folders.
        settings: Those that are not the same in all, as YAML; `–` where a run has no such setting.
        metrics: What they came to, by `split/metric`, and their seconds; None where that is unknown.
    """

    runs: list[str]
    settings: dict[str, list[str]]
    metrics: dict[str, list[float | None]]


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Return where runs differ.

    Raises:
        DataError: If a run cannot be read.
        ConfigError: If a run's config cannot be.
    """
    settings = [flatten(run.config) for run in runs]
    metrics = [_metrics(run.summary) for run in runs]
    return Comparison(
        runs=[run.path for run in runs],
        settings={
            key: [render_value(one[key]) if key in one else "–" for one in settings]
            for key in dict.fromkeys(key for one in settings for key in one)
            if len({repr(one.get(key)) for one in settings}) > 1
        },
        metrics={
            key: [one.get(key) for one in metrics] for key in dict.fromkeys(key for one in metrics for key in one)
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
    """Return the figures among what a summary says of a split."""
    return [(name, value) for name, value in (metrics or {}).items() if isinstance(value, float)]
