"""Sentences about the statistics of a group of seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlcli.evaluation.group import GroupStatistics, ModelInterval
from dlcli.evaluation.seed_statistics import format_like
from dlcli.runs.comparison import format_metric
from dlcli.text import join

_MOST_SEEDS = 8  # maximum number of seeds listed in a sentence


def describe_group(statistics: GroupStatistics) -> Iterator[str]:
    """Yield sentences that explain the statistics."""
    if statistics.headline is None:
        return
    spread = statistics.metrics[statistics.headline]
    if spread.mean is None:
        return
    n = count(spread.n, "seed")
    if spread.sd is None or spread.interval is None:
        yield f"One value says nothing about the spread of {statistics.headline}: train more seeds."
    else:
        mean, sd, low, high = (format_like(value, spread) for value in (spread.mean, spread.sd, *spread.interval))
        yield (
            f"{statistics.headline} is {mean} on average over {n}; one seed differs from this by about {sd} "
            "(standard deviation, with n−1). With 95 % confidence, the mean over all possible seeds lies between "
            f"{low} and {high}."
        )
    if statistics.diverged:
        yield f"{count_diverged(statistics)}: the numbers above leave them out, and are those of {n}."
    if statistics.test_set is not None:
        yield _describe_test_set(statistics.test_set)


def _describe_test_set(test_set: ModelInterval) -> str:
    """Return a sentence about the confidence interval of one model, due to the finite test set."""
    low, high = map(format_metric, test_set.interval)
    examples = "the test examples" if test_set.examples is None else f"{test_set.examples:,} test examples"
    return (
        f"Apart from the seeds, {examples} determine the value of one model only up to chance: that of the median "
        f"model (seed {test_set.seed}), {format_metric(test_set.value)}, has the 95 % interval {low} to {high}."
    )


def count_diverged(statistics: GroupStatistics) -> str:
    """Return text with the number of seeds that diverged and a list of them."""
    return f"{len(statistics.diverged)} of {len(statistics.seeds)} seeds diverged ({name_seeds(statistics.diverged)})"


def name_seeds(seeds: Sequence[int]) -> str:
    """Return text that names seeds as a range, or as a list of at most 8 seeds."""
    if not seeds:
        return "none"
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    if len(seeds) > _MOST_SEEDS:
        return f"{', '.join(map(str, seeds[:_MOST_SEEDS]))}, …"
    return join(map(str, seeds))


def count(n: int, noun: str) -> str:
    """Return a number with its noun, such as `1 seed` and `2 losses`."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"
