"""Statistics of a group of seeds, and comparison of two groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER, METRICS
from dlcli.errors import UsageError
from dlcli.evaluation.interval import wilson_interval
from dlcli.evaluation.ranking import explain_data
from dlcli.evaluation.seeds import (
    PairedComparison,
    Spread,
    Values,
    compare_pairs,
    describe_comparison,
    measure_difference,
    measure_spread,
)
from dlcli.runs.comparison import class_counts, differing_settings, is_f1_redundant
from dlcli.runs.group_run import GroupRun, SeedRecord
from dlcli.runs.labels import label_runs

DIVERGED, UNFINISHED = "diverged", "unfinished"


@dataclass(frozen=True)
class ModelInterval:
    """Interval of one model's metric because the test set is finite; it has nothing to do with seeds.

    Attributes:
        metric: Metric, such as `test/accuracy`.
        seed: Seed of the model, the one with the median value.
        value: Its value.
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
    """What the seeds of a group show; `--json` prints it with `asdict`.

    Attributes:
        seeds: Seeds of the group.
        diverged: Seeds that diverged.
        unfinished: Seeds whose training has not ended; they are in no statistics.
        headline: Metric to look at first; None before the first epoch has ended.
        metrics: Spread of each metric at the best epoch, by `split/metric`, the headline first.
        test_set: Interval that the finite test set gives one model; None if unknown.
    """

    seeds: list[int]
    diverged: list[int]
    unfinished: list[int]
    headline: str | None
    metrics: dict[str, Spread]
    test_set: ModelInterval | None


def measure_group(group: GroupRun) -> GroupStatistics:
    """Return the statistics of a group."""
    metrics = {metric: measure_spread(values) for metric, values in _values_by_metric(group).items()}
    return GroupStatistics(
        seeds=[record.seed for record in group.seeds],
        diverged=[record.seed for record in group.seeds if record.status == DIVERGED],
        unfinished=[record.seed for record in group.seeds if record.status == UNFINISHED],
        headline=next(iter(metrics), None),
        metrics=metrics,
        test_set=_measure_test_set(group),
    )


def _values_by_metric(group: GroupRun) -> dict[str, dict[int, float | None]]:
    """Return the values of each metric that some seed has, by `split/metric`, the headline first."""
    headline, monitored = HEADLINE[group.config.task], _monitored(group)
    is_hidden = is_f1_redundant(class_counts(group)) and monitored != "macro_f1"
    names = [name for name in METRICS[group.config.task] if not (is_hidden and name == "macro_f1")]
    names.sort(key=lambda name: name != headline)
    metrics = [f"{split}/{name}" for split in ("test", "val", "train") for name in names]
    values = {metric: seed_values(group, metric) for metric in metrics}
    return {metric: row for metric, row in values.items() if any(value is not None for value in row.values())}


def seed_values(group: GroupRun, metric: str) -> dict[int, float | None]:
    """Return a metric of each seed whose training has ended; None for a seed that diverged.

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
        interval = wilson_interval(round(value * examples), examples) if examples else None
    else:
        interval = _read_interval((record.test or {}).get(f"{name}_interval"))
    return ModelInterval(f"test/{name}", seed, value, interval, examples) if interval else None


def _read_interval(ends: Any) -> tuple[float, float] | None:
    match ends:
        case [float(low), float(high)]:
            return low, high
    return None


def _count_test_examples(record: SeedRecord) -> int | None:
    """Return the size of the test split, from the number of its examples of each class."""
    classes = (record.test or {}).get("per_class")
    rows = classes.values() if isinstance(classes, Mapping) else ()
    counts = [row.get("support") for row in rows if isinstance(row, Mapping)]
    return sum(count for count in counts if isinstance(count, int)) or None


@dataclass(frozen=True)
class ComparedMetric:
    """Spread of a metric in two groups, and of the difference first − second, over the common seeds."""

    first: Spread
    second: Spread
    difference: Spread


@dataclass(frozen=True)
class GroupComparison:
    """Comparison of two groups by one metric, paired by seed; `runs compare --json` prints it with `asdict`.

    Attributes:
        groups: Group folders.
        labels: Short unique names.
        settings: Settings that differ, as YAML; `–` if a group does not have the setting.
        metric: Metric that decides, such as `test/accuracy`.
        why: Reason for this metric.
        seeds: Common seeds.
        paired: Comparison by seed.
        statement: The verdict as a sentence.
        metrics: Every metric that both groups have, by `split/metric`.
    """

    groups: list[str]
    labels: list[str]
    settings: dict[str, list[str]]
    metric: str
    why: str
    seeds: list[int]
    paired: PairedComparison
    statement: str
    metrics: dict[str, ComparedMetric]


def compare_groups(groups: Sequence[GroupRun], metric: str | None = None) -> GroupComparison:
    """Compare two groups by seed.

    Args:
        groups: The two groups.
        metric: Metric that decides; None selects the monitored one, on the test split if both were evaluated there.

    Raises:
        UsageError: If the groups cannot be compared by seed, or do not both have the metric.
    """
    first, second = _check_groups(groups)
    tables = [_values_by_metric(group) for group in (first, second)]
    shared = [name for name in tables[0] if name in tables[1]]
    metric, why = (metric, "chosen with --metric") if metric else _choose_metric(first, second, shared)
    if metric not in shared:
        hint = f"both have {', '.join(shared)}" if shared else "train both until an epoch has ended"
        raise UsageError(f"the groups do not both have {metric}", hint=hint)
    paired = _compare(tables[0][metric], tables[1][metric], metric)
    labels = label_runs(groups)
    return GroupComparison(
        groups=[first.path, second.path],
        labels=labels,
        settings=differing_settings([first.config, second.config]),
        metric=metric,
        why=why,
        seeds=list(paired.difference.values),
        paired=paired,
        statement=describe_comparison(paired, *labels),
        metrics={name: _compare_metric(*(table[name] for table in tables)) for name in _move_first(metric, shared)},
    )


def _move_first(name: str, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda other: other != name)


def _compare_metric(first: Values, second: Values) -> ComparedMetric:
    common = [seed for seed in first if seed in second]
    mine, others = (measure_spread({seed: values[seed] for seed in common}) for values in (first, second))
    return ComparedMetric(mine, others, measure_difference(first, second))


def _compare(first: Values, second: Values, metric: str) -> PairedComparison:
    return compare_pairs(first, second, is_higher_better=metric.rpartition("/")[2] in HIGHER_IS_BETTER)


def _check_groups(groups: Sequence[GroupRun]) -> tuple[GroupRun, GroupRun]:
    if len(groups) != 2:
        hint = "name two of them; `dlcli runs show GROUP` shows each"
        raise UsageError(f"groups of seeds are compared in pairs. Got {len(groups)} groups instead", hint=hint)
    first, second = groups
    if note := explain_data(groups):
        raise UsageError(note.replace("the runs", "the groups"), hint="`dlcli runs show GROUP` shows each")
    if not {record.seed for record in first.seeds} & {record.seed for record in second.seeds}:
        start = first.seeds[0].seed
        hint = f"train both with the same seeds, such as `--seed {start} --seeds {len(first.seeds)}`"
        raise UsageError(f"{first.path} and {second.path} have no seed in common", hint=hint)
    return first, second


def _monitored(group: GroupRun) -> str:
    """Return the name of the monitored metric, without its split."""
    return group.config.checkpoint.monitor.rpartition("/")[2]


def _choose_metric(first: GroupRun, second: GroupRun, shared: Sequence[str]) -> tuple[str, str]:
    """Return the metric that decides, and the reason."""
    name, why = _monitored(first), "the monitored metric"
    if _monitored(second) != name:
        name, why = HEADLINE[first.config.task], "the groups monitor different metrics"
    elif name == "loss" and first.config.loss != second.config.loss:
        name, why = HEADLINE[first.config.task], "the groups have different losses"
    split = next((metric.partition("/")[0] for metric in shared if metric.endswith(f"/{name}")), "val")
    return f"{split}/{name}", why
