"""Text about a group of seeds and about the comparison of two groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dlcli.cli.output import make_table, paragraph
from dlcli.text import join

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.evaluation.group import GroupComparison, GroupStatistics, TestSetInterval
    from dlcli.evaluation.seeds import Spread
    from dlcli.runs.group_run import GroupRun

_MOST_VALUES = 100  # most seeds whose values are listed; --json and seeds.csv have all
_MOST_SEEDS = 8  # most seeds listed in a sentence


def group_page(group: GroupRun) -> Iterator[RenderableType]:
    """Yield the parts of the page about a group, 80 columns wide."""
    from dlcli.evaluation.group import measure_group
    from dlcli.runs.comparison import format_time

    statistics = measure_group(group)
    yield f"group     {group.path}"
    yield f"seeds     {_name_seeds(statistics.seeds)}"
    yield f"status    {group.status}{_outcome(statistics)}"
    yield f"time      {format_time(group.seconds)}"
    if statistics.headline is None:
        yield ""
        yield "no seed has a result"
        return
    yield ""
    yield metrics_table(group, statistics)
    headline = statistics.metrics[statistics.headline]
    yield ""
    yield from _value_lines(statistics.headline, headline)
    yield ""
    for sentence in explain_group(statistics):
        yield paragraph(sentence)


def metrics_table(group: GroupRun, statistics: GroupStatistics) -> RenderableType:
    """Return a row for each metric, without those that repeat another."""
    from dlcli.evaluation.seeds import format_like, format_spread
    from dlcli.runs.comparison import class_counts, is_f1_redundant

    is_hidden = is_f1_redundant(class_counts(group))
    rows = []
    for metric, spread in statistics.metrics.items():
        if spread.mean is None or (is_hidden and metric.endswith("/macro_f1")):
            continue
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


def explain_group(statistics: GroupStatistics) -> Iterator[str]:
    """Yield sentences that say in words what the numbers mean."""
    from dlcli.evaluation.seeds import format_like

    if statistics.headline is None:
        return
    spread = statistics.metrics[statistics.headline]
    if spread.mean is None:
        return
    n = _count(spread.n, "seed")
    if spread.sd is None or spread.interval is None:
        yield f"One value says nothing about the spread of {statistics.headline}: train more seeds."
    else:
        mean, sd, low, high = (format_like(value, spread) for value in (spread.mean, spread.sd, *spread.interval))
        yield (
            f"{statistics.headline} is {mean} on average over {n}; one seed differs from this by about {sd} (sd, "
            f"n − 1). With 95 % confidence, the mean over all seeds lies between {low} and {high}."
        )
    if statistics.diverged:
        yield f"{_diverged(statistics)}: the numbers above are those of the other {n}."
    if statistics.test_set is not None:
        yield explain_test_set(statistics.test_set)


def explain_test_set(test_set: TestSetInterval) -> str:
    """Return a sentence about the interval that the finite test set gives one model."""
    from dlcli.runs.comparison import format_metric

    low, high = map(format_metric, test_set.interval)
    examples = "the test examples" if test_set.examples is None else f"{test_set.examples:,} test examples"
    return (
        f"Apart from the seeds, {examples} determine the value of one model only up to chance: that of the median "
        f"model (seed {test_set.seed}), {format_metric(test_set.value)}, has the 95 % interval {low} to {high}."
    )


def _outcome(statistics: GroupStatistics) -> str:
    parts = []
    if statistics.diverged:
        parts.append(_diverged(statistics))
    if statistics.unfinished:
        parts.append(f"{len(statistics.unfinished)} not finished")
    return "".join(f"; {part}" for part in parts)


def _diverged(statistics: GroupStatistics) -> str:
    return f"{len(statistics.diverged)} of {len(statistics.seeds)} seeds diverged ({_name_seeds(statistics.diverged)})"


def _name_seeds(seeds: Sequence[int]) -> str:
    """Return seeds as a range, or as a list of the first ones."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    if len(seeds) > _MOST_SEEDS:
        return f"{', '.join(map(str, seeds[:_MOST_SEEDS]))}, …"
    return join(map(str, seeds))


def comparison_page(comparison: GroupComparison, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Yield the parts of the page about two groups, 80 columns wide; without the explanation if `quiet`."""
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
    yield f"{comparison.metric} of {_count(paired.pairs, 'seed')} in common"
    yield f"difference  {format_spread(paired.difference)}{_interval(paired.difference)}"
    deciding = comparison.metrics[comparison.metric]
    if paired.difference.diverged:
        yield f"diverged    {deciding.first.diverged} of {first}, {deciding.second.diverged} of {second}"
    outcomes = ((paired.wins, "win"), (paired.ties, "tie"), (paired.losses, "loss"))
    yield f"by seed     {', '.join(_count(n, noun) for n, noun in outcomes)} of {first}"
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


def _count(n: int, noun: str) -> str:
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"
