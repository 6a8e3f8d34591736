"""Text about a group of seeds and about the comparison of two groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlcli.cli.output import make_table, paragraph

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.evaluation.group import GroupComparison, GroupStatistics
    from dlcli.evaluation.seeds import Spread
    from dlcli.runs.group_run import GroupRun

_MOST_VALUES = 100  # most seeds whose values are listed; --json and seeds.csv have all


def group_page(group: GroupRun) -> Iterator[RenderableType]:
    """Yield the parts of the page about a group, 80 columns wide."""
    from dlcli.evaluation.group import measure_group
    from dlcli.evaluation.group_sentences import describe_group, name_seeds
    from dlcli.runs.comparison import format_time

    statistics = measure_group(group)
    yield f"group     {group.path}"
    yield f"seeds     {name_seeds(statistics.seeds)}"
    yield f"status    {group.status}{_outcome(statistics)}"
    yield f"time      {format_time(group.seconds)}"
    if statistics.headline is None:
        yield ""
        yield "no seed has a result"
        return
    yield ""
    yield metrics_table(statistics)
    headline = statistics.metrics[statistics.headline]
    yield ""
    yield from _value_lines(statistics.headline, headline)
    yield ""
    for sentence in describe_group(statistics):
        yield paragraph(sentence)


def metrics_table(statistics: GroupStatistics) -> RenderableType:
    """Return a table with a row for each metric."""
    from dlcli.evaluation.seeds import format_like, format_spread

    rows = []
    for metric, spread in statistics.metrics.items():
        interval = "–" if spread.interval is None else " to ".join(format_like(end, spread) for end in spread.interval)
        ends = (format_like(value or 0.0, spread) for value in (spread.least, spread.median, spread.most))
        rows.append([metric, format_spread(spread), interval, *ends])
    return make_table(["", "mean ± sd", "95 % interval", "least", "median", "most"], rows)


def _value_lines(metric: str, spread: Spread) -> Iterator[str]:
    """Yield the value of every seed, in rows of 80 columns."""
    from dlcli.runs.comparison import format_metric

    shown = list(spread.values.items())[:_MOST_VALUES]
    width = max(len(str(seed)) for seed, _ in shown)
    cells = [f"{seed:>{width}}  {'diverged' if value is None else format_metric(value)}" for seed, value in shown]
    width = max(map(len, cells))
    per_row = max(1, 78 // (width + 4))
    yield f"{metric} by seed"
    for i in range(0, len(cells), per_row):
        yield "  " + "    ".join(f"{cell:<{width}}" for cell in cells[i : i + per_row]).rstrip()
    if len(spread.values) > len(shown):
        yield f"  … use --json to print all {len(spread.values):,} values"


def _outcome(statistics: GroupStatistics) -> str:
    from dlcli.evaluation.group_sentences import count_diverged

    parts = []
    if statistics.diverged:
        parts.append(count_diverged(statistics))
    if statistics.unfinished:
        parts.append(f"{len(statistics.unfinished)} not finished")
    return "".join(f"; {part}" for part in parts)


def comparison_page(comparison: GroupComparison, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Yield the parts of the page about two groups, 80 columns wide; without the explanation if `quiet`."""
    from dlcli.evaluation.group_sentences import count
    from dlcli.evaluation.seeds import format_spread

    first, second = comparison.labels
    width = max(map(len, comparison.labels))
    for label, path in zip(comparison.labels, comparison.groups, strict=True):
        yield f"{label:<{width}}  {path}"
    headings = [label.replace(", ", ",\n") for label in comparison.labels]
    if comparison.settings:
        yield ""
        yield make_table(["setting", *headings], [[key, *values] for key, values in comparison.settings.items()])
    yield ""
    rows = [
        [metric, *map(format_spread, (compared.first, compared.second, compared.difference))]
        for metric, compared in comparison.metrics.items()
    ]
    yield make_table(["metric", *headings, "difference"], rows)
    paired = comparison.paired
    yield ""
    yield f"{comparison.metric} of {count(paired.pairs, 'seed')} in common"
    yield f"difference  {format_spread(paired.difference)}{_interval(paired.difference)}"
    deciding = comparison.metrics[comparison.metric]
    if paired.difference.diverged:
        yield f"diverged    {deciding.first.diverged} of {first}, {deciding.second.diverged} of {second}"
    outcomes = ((paired.wins, "win"), (paired.ties, "tie"), (paired.losses, "loss"))
    yield f"by seed     {', '.join(count(n, noun) for n, noun in outcomes)} of {first}"
    yield paragraph(comparison.statement, start="verdict     ")
    if not quiet:
        yield ""
        yield paragraph(
            f"{comparison.metric} decides: {comparison.why}. The difference is {first} − {second}, ± its standard "
            "deviation over the common seeds. A seed in which one of the two diverged is lost by it."
        )


def _interval(spread: Spread) -> str:
    from dlcli.evaluation.seeds import format_like

    if spread.interval is None:
        return ""
    low, high = (format_like(end, spread) for end in spread.interval)
    return f", 95 % interval of its mean {low} to {high}"
