"""Statistics of a group of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlcli.config.schema import HEADLINE, METRICS
from dlcli.evaluation.seed_statistics import (
    Spread,
    bounds_of,
    measure_spread,
)
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.runs.comparison import class_counts, is_f1_redundant
from dlcli.runs.group.run import GroupRun, SeedRecord

DIVERGED, UNFINISHED = "diverged", "unfinished"


@dataclass(frozen=True)
class ModelInterval:
    """Confidence interval of one model's metric, due to the finite test set and not to the spread over seeds.

    Attributes:
        metric: Metric, such as `test/accuracy`.
        seed: Seed of the model with the median value.
        value: Value of the metric.
        interval: 95 % confidence interval.
        examples: Number of test examples; None if not recorded.
    """

    metric: str
    seed: int
    value: float
    interval: tuple[float, float]
    examples: int | None


@dataclass(frozen=True)
class GroupStatistics:
    """Statistics of a group of seeds; `--json` prints it with `asdict`.

    Attributes:
        seeds: Seeds of the group.
        diverged: Seeds that diverged.
        unfinished: Seeds whose training has not ended; no statistics include them.
        headline: Metric to look at first; None before the first epoch has ended.
        metrics: Spread of each metric at the best epoch, by `split/metric`, the headline first.
        test_set: Confidence interval of the median model, due to the finite test set; None if unknown.
    """

    seeds: list[int]
    diverged: list[int]
    unfinished: list[int]
    headline: str | None
    metrics: dict[str, Spread]
    test_set: ModelInterval | None


def measure_group(group: GroupRun) -> GroupStatistics:
    """Return the statistics of a group."""
    metrics = {metric: measure_spread(values, bounds_of(metric)) for metric, values in values_by_metric(group).items()}
    return GroupStatistics(
        seeds=[record.seed for record in group.seeds],
        diverged=[record.seed for record in group.seeds if record.status == DIVERGED],
        unfinished=[record.seed for record in group.seeds if record.status == UNFINISHED],
        headline=next(iter(metrics), None),
        metrics=metrics,
        test_set=_measure_test_set(group),
    )


def values_by_metric(group: GroupRun) -> dict[str, dict[int, float | None]]:
    """Return the values by seed of each metric that some seed has; keys are `split/metric`, the headline first."""
    headline, monitored = HEADLINE[group.config.task], monitored_name(group)
    is_hidden = is_f1_redundant(class_counts(group)) and monitored != "macro_f1"
    names = [name for name in METRICS[group.config.task] if not (is_hidden and name == "macro_f1")]
    names.sort(key=lambda name: name != headline)
    metrics = [f"{split}/{name}" for split in ("test", "val", "train") for name in names]
    values = {metric: seed_values(group, metric) for metric in metrics}
    return {metric: row for metric, row in values.items() if any(value is not None for value in row.values())}


def seed_values(group: GroupRun, metric: str) -> dict[int, float | None]:
    """Return the value of a metric for each seed whose training has ended; None for a seed that diverged.

    A value that is not finite counts as diverged. A seed that was not evaluated on a split is left out.

    Args:
        group: The group.
        metric: Metric at the best epoch, such as `val/loss`.
    """
    split, _, name = metric.partition("/")
    values: dict[int, float | None] = {}
    for record in group.seeds:
        metrics: Mapping[str, Any] | None = {"train": record.train, "val": record.val, "test": record.test}[split]
        if record.status == DIVERGED:
            values[record.seed] = None
        elif record.status != UNFINISHED and metrics:
            values[record.seed] = _finite(metrics.get(name))
    return values


def _finite(value: Any) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _measure_test_set(group: GroupRun) -> ModelInterval | None:
    name = HEADLINE[group.config.task]
    trained = [(value, seed) for seed, value in seed_values(group, f"test/{name}").items() if value is not None]
    if not trained:
        return None
    value, seed = sorted(trained)[(len(trained) - 1) // 2]
    record = next(record for record in group.seeds if record.seed == seed)
    examples = _count_test_examples(record)
    if name == "accuracy":
        interval = wilson_interval(round(value * examples), examples) if examples and value <= 1 else None
    else:
        interval = _read_interval((record.test or {}).get(f"{name}_interval"))
    return ModelInterval(f"test/{name}", seed, value, interval, examples) if interval else None


def _read_interval(ends: Any) -> tuple[float, float] | None:
    match ends:
        case [float(low), float(high)]:
            return low, high
    return None


def _count_test_examples(record: SeedRecord) -> int | None:
    """Return the size of the test split, from the recorded number of examples per class; None if not recorded."""
    classes = (record.test or {}).get("per_class")
    rows = classes.values() if isinstance(classes, Mapping) else ()
    counts = [row.get("support") for row in rows if isinstance(row, Mapping)]
    return sum(count for count in counts if isinstance(count, int)) or None


def monitored_name(group: GroupRun) -> str:
    """Return the name of the monitored metric, without its split."""
    return group.config.checkpoint.monitor.rpartition("/")[2]
