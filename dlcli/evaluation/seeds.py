"""Statistics of several seeds: spread of a metric, and comparison of two groups paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["first", "second", "unclear", "too few"]

MOST_USEFUL_PAIRS = 29  # Noether's sample size for P = 0.75 at 5 % errors of both kinds (Bouthillier et al., 2021)
_FEWEST_PAIRS = 6  # with 5 pairs, equal methods agree in all of them in 6 % of the cases
_CLEAR = 0.75  # P(first better) from which a difference matters (Bouthillier et al., 2021)
_RESAMPLES, _BOOTSTRAP_SEED = 10_000, 0


@dataclass(frozen=True)
class Spread:
    """Spread of a metric over seeds.

    Attributes:
        values: Values of the seeds that did not diverge.
        diverged: Number of the others.
        mean: Mean; None without values.
        sd: Standard deviation, divided by n − 1; None for fewer than two values.
        interval: 95 % confidence interval of the mean by Student's t; None for fewer than two values.
        least: Smallest value.
        median: Median.
        most: Largest value.
    """

    values: tuple[float, ...]
    diverged: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    least: float | None
    median: float | None
    most: float | None


def measure_spread(values: Sequence[float | None]) -> Spread:
    """Return the spread of a metric.

    Args:
        values: Value of each seed; None for a seed that diverged.
    """
    known = tuple(value for value in values if value is not None)
    diverged = len(values) - len(known)
    if not known:
        return Spread((), diverged, None, None, None, None, None, None)
    mean = statistics.fmean(known)
    sd = statistics.stdev(known, mean) if len(known) > 1 else None
    interval = None if sd is None else _t_interval(mean, sd, len(known))
    return Spread(known, diverged, mean, sd, interval, min(known), statistics.median(known), max(known))


def _t_interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    half = float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n)
    return mean - half, mean + half


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of two groups of trainings, paired by seed.

    Attributes:
        pairs: Number of seeds that both have.
        difference: Spread of first − second over the pairs in which neither diverged.
        wins: Pairs in which the first is better, or only the second diverged.
        ties: Pairs in which both are equal or diverged.
        losses: The other pairs.
        p_better: P(first better): the share of wins, with ties as half; None without pairs.
        p_interval: Its 95 % bootstrap interval, over resampled pairs.
        verdict: `first` or `second` if that one is better: P of at least 0.75 with an interval above 0.5.
    """

    pairs: int
    difference: Spread
    wins: int
    ties: int
    losses: int
    p_better: float | None
    p_interval: tuple[float, float] | None
    verdict: Verdict


def compare_pairs(
    first: Sequence[float | None], second: Sequence[float | None], *, is_higher_better: bool
) -> PairedComparison:
    """Compare two groups by the criterion of Bouthillier et al. (2021), "Accounting for variance in ML benchmarks".

    Args:
        first: Value of each seed; None for a seed that diverged.
        second: Values of the same seeds.
        is_higher_better: Whether a higher value is better.

    Raises:
        ValueError: If the groups differ in length.
    """
    pairs = list(zip(first, second, strict=True))
    scores = [_score(a, b, is_higher_better=is_higher_better) for a, b in pairs]
    wins, ties, losses = (scores.count(score) for score in (1.0, 0.5, 0.0))
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    p, interval = (statistics.fmean(scores), _bootstrap(wins, ties, losses)) if pairs else (None, None)
    verdict: Verdict = "too few" if len(pairs) < _FEWEST_PAIRS else "unclear"
    if p is not None and interval is not None and verdict == "unclear":
        if p >= _CLEAR and interval[0] > 0.5:
            verdict = "first"
        elif p <= 1 - _CLEAR and interval[1] < 0.5:
            verdict = "second"
    return PairedComparison(len(pairs), measure_spread(differences), wins, ties, losses, p, interval, verdict)


def _score(first: float | None, second: float | None, *, is_higher_better: bool) -> float:
    """Return 1 if the first is better, 0.5 if both are equal, else 0; divergence is worse than every value."""
    if first is None or second is None:
        return 0.5 if first is second else float(second is None)
    if first == second:
        return 0.5
    return float((first > second) == is_higher_better)


@cache
def _bootstrap(wins: int, ties: int, losses: int) -> tuple[float, float]:
    """Return the percentile interval of the mean score: resampling pairs is drawing their scores."""
    import numpy as np

    n = wins + ties + losses
    draws = np.random.default_rng(_BOOTSTRAP_SEED).multinomial(n, [wins / n, ties / n, losses / n], size=_RESAMPLES)
    low, high = np.quantile((draws[:, 0] + draws[:, 1] / 2) / n, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def describe_comparison(comparison: PairedComparison, first: str, second: str) -> str:
    """Return the verdict as a sentence.

    Args:
        comparison: The comparison.
        first: Name of the first group.
        second: Name of the second group.
    """
    if comparison.verdict == "too few" or comparison.p_better is None or comparison.p_interval is None:
        return f"{comparison.pairs} seeds in common are too few for a verdict: train at least {_FEWEST_PAIRS}"
    p, (low, high) = comparison.p_better, comparison.p_interval
    if comparison.verdict == "second":
        first, second, p, low, high = second, first, 1 - p, 1 - high, 1 - low
    chance = f"P({first} better than {second}) is {p:.2f}, 95 % interval {low:.2f} to {high:.2f}"
    if comparison.verdict != "unclear":
        return f"{first} is better: {chance}"
    more = "" if comparison.pairs >= MOST_USEFUL_PAIRS else f"; {MOST_USEFUL_PAIRS} seeds would show a P of 0.75"
    return f"no clear difference: {chance}{more}"
