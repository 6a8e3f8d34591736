"""Comparison of two groups of seeds, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER
from dlcli.errors import UsageError
from dlcli.evaluation.group import monitored_name, values_by_metric
from dlcli.evaluation.paired_statistics import PairedComparison, compare_pairs, describe_comparison, measure_difference
from dlcli.evaluation.ranking import explain_data
from dlcli.evaluation.seed_statistics import Spread, Values, bounds_of, measure_spread
from dlcli.runs.comparison import differing_settings
from dlcli.runs.group.run import GroupRun
from dlcli.runs.labels import label_runs


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


def compare_groups(
    groups: Sequence[GroupRun], metric: str | None = None, *, labels: Sequence[str] | None = None
) -> GroupComparison:
    """Compare two groups by seed.

    Args:
        groups: The two groups.
        metric: Metric that decides; None selects the monitored metric, on the test split if both were evaluated there.
        labels: Names of the two groups; None names them by the settings that differ.

    Raises:
        UsageError: If the groups cannot be compared by seed, or do not both have the metric.
    """
    first, second = _check_groups(groups)
    tables = [values_by_metric(group) for group in (first, second)]
    tables = [
        table or _all_diverged(group, other) for table, group, other in zip(tables, groups, tables[::-1], strict=True)
    ]
    shared = [name for name in tables[0] if name in tables[1]]
    metric, why = (metric, "chosen with --metric") if metric else _choose_metric(first, second, shared)
    if metric not in shared:
        hint = f"both have {', '.join(shared)}" if shared else "train both until an epoch has ended"
        raise UsageError(f"the groups do not both have {metric}", hint=hint)
    paired = _compare(tables[0][metric], tables[1][metric], metric)
    labels = labels or label_runs(
        [replace(group, config=group.config.model_copy(update={"seed": 0})) for group in groups]
    )
    return GroupComparison(
        groups=[first.path, second.path],
        labels=list(labels),
        settings=differing_settings([first.config, second.config]),
        metric=metric,
        why=why,
        seeds=list(paired.difference.values),
        paired=paired,
        statement=describe_comparison(paired, *labels),
        metrics={
            name: _compare_metric(name, *(table[name] for table in tables)) for name in _move_first(metric, shared)
        },
    )


def _all_diverged(group: GroupRun, metrics: Iterable[str]) -> dict[str, dict[int, float | None]]:
    """Return {metric: {seed: None}} for a group whose seeds all diverged before an epoch ended; {} for other groups."""
    if any(record.status != "diverged" for record in group.seeds):
        return {}
    return {metric: dict.fromkeys(record.seed for record in group.seeds) for metric in metrics}


def _move_first(name: str, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda other: other != name)


def _compare_metric(metric: str, first: Values, second: Values) -> ComparedMetric:
    common, bounds = [seed for seed in first if seed in second], bounds_of(metric)
    mine, others = (measure_spread({seed: values[seed] for seed in common}, bounds) for values in (first, second))
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


def _choose_metric(first: GroupRun, second: GroupRun, shared: Sequence[str]) -> tuple[str, str]:
    """Return the metric that decides, and the reason for it."""
    name, why = monitored_name(first), "the monitored metric"
    if monitored_name(second) != name:
        name, why = HEADLINE[first.config.task], "the groups monitor different metrics"
    elif name == "loss" and first.config.loss != second.config.loss:
        name, why = HEADLINE[first.config.task], "the groups have different losses"
    split = next((metric.partition("/")[0] for metric in shared if metric.endswith(f"/{name}")), "val")
    return f"{split}/{name}", why
