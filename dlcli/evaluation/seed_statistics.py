"""Statistics of several seeds: spread of a metric, and comparison of two groups paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from dlcli.config.schema import HIGHER_IS_BETTER

Verdict: TypeAlias = Literal["first", "second", "unclear", "too few"]
Values: TypeAlias = Mapping[int, float | None]  # value of each seed; None for a seed that diverged

MOST_USEFUL_PAIRS = 29  # Noether's sample size for P = 0.75 with 5 % errors of both kinds (Bouthillier et al., 2021)
FEWEST_PAIRS = 6  # with 5 pairs, one of two equal methods wins all of them in 6 % of the cases
_CLEAR = 0.75  # P(first better) from which a difference matters (Bouthillier et al., 2021)
_ROUNDING = 1e-9  # relative standard deviations up to this are rounding errors
_SMALLEST, _LARGEST, _MOST_DECIMALS = 1e-5, 1e7, 6  # limits for numbers written without an exponent


@dataclass(frozen=True)
class MeanSd:
    """Mean and standard deviation (with divisor n − 1) of n values; sd is None for n = 1."""

    mean: float
    sd: float | None
    n: int


def mean_sd(values: Sequence[float]) -> MeanSd | None:
    """Return the mean and standard deviation of the values; None if there are no values."""
    if not values:
        return None
    return MeanSd(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Spread:
    """Spread of a metric over seeds; the statistics leave out seeds that diverged.

    Attributes:
        values: Value of each seed; None for a seed that diverged.
        n: Number of seeds that did not diverge.
        diverged: Number of seeds that diverged.
        mean: Mean; None if there are no values.
        sd: Standard deviation, with divisor n − 1; None for fewer than two values.
        interval: 95 % confidence interval of the mean by Student's t; None for fewer than two values.
        least: Smallest value.
        median: Median.
        most: Largest value.
    """

    values: dict[int, float | None]
    n: int
    diverged: int
    mean: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    least: float | None = None
    median: float | None = None
    most: float | None = None


def measure_spread(values: Values, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Spread:
    """Return the spread of a metric over seeds.

    Args:
        values: Values by seed; None for a seed that diverged.
        bounds: Smallest and largest possible value, to which the interval of the mean is clipped.
    """
    known = [value for value in values.values() if value is not None]
    n, diverged, average = len(known), len(values) - len(known), mean_sd(known)
    if average is None:
        return Spread(dict(values), n, diverged)
    mean, sd = average.mean, average.sd
    interval = None if sd is None else _t_interval(mean, sd, n, bounds)
    return Spread(dict(values), n, diverged, mean, sd, interval, min(known), statistics.median(known), max(known))


def format_spread(spread: Spread) -> str:
    """Return `mean ± sd`, with two digits of the standard deviation; a dash if there are no values."""
    if spread.mean is None:
        return "–"
    deviation = "" if spread.sd is None else f" ± {format_like(spread.sd, spread)}"
    return format_like(spread.mean, spread) + deviation


def format_interval(spread: Spread) -> str:
    """Return the interval of the mean as `low to high`; "" if there is none."""
    return "" if spread.interval is None else " to ".join(format_like(end, spread) for end in spread.interval)


def format_like(value: float, spread: Spread) -> str:
    """Format a value with enough decimals to show two digits of the standard deviation of a spread."""
    scale, sd = abs(spread.mean or 0.0), spread.sd or 0.0
    if sd <= _ROUNDING * scale:
        sd = scale / 100  # four digits of the mean
    if not _SMALLEST <= max(sd, scale) < _LARGEST:
        return f"{value:.3g}"
    decimals = 1 - math.floor(math.log10(max(sd, _SMALLEST)))
    return f"{value:.{min(max(decimals, 0), _MOST_DECIMALS)}f}"


def _t_interval(mean: float, sd: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    half = _t_quantile(n) * sd / math.sqrt(n)
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def bounds_of(metric: str) -> tuple[float, float]:
    """Return the smallest and the largest possible value of a metric such as `val/accuracy`."""
    name = metric.rpartition("/")[2]
    if name == "r2":
        return -math.inf, 1.0
    return 0.0, 1.0 if name in HIGHER_IS_BETTER else math.inf


@cache
def _t_quantile(n: int) -> float:
    """Return the 97.5 % quantile of Student's t for n values."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(n - 1, 0.975))


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of two groups of trainings, paired by seed.

    Attributes:
        pairs: Number of seeds that both groups have.
        difference: Spread of first − second; a pair counts as diverged if either run diverged.
        wins: Number of pairs in which the first is better, or only the second diverged.
        ties: Number of pairs in which both are equal, or both diverged.
        losses: Number of the other pairs.
        p_better: P(first better): the share of wins, counting ties as half; None if there are no pairs.
        p_interval: 95 % bootstrap interval of `p_better`, from resampled pairs.
        verdict: `too few` for fewer than 6 pairs; `first` or `second` if that group is better, with a P of at least
            0.75 and an interval above 0.5; `unclear` otherwise.
    """

    pairs: int
    difference: Spread
    wins: int
    ties: int
    losses: int
    p_better: float | None
    p_interval: tuple[float, float] | None
    verdict: Verdict


def compare_pairs(first: Values, second: Values, *, is_higher_better: bool) -> PairedComparison:
    """Compare two groups by the criterion of Bouthillier et al. (2021), "Accounting for variance in ML benchmarks".

    Seeds that only one of the groups has are ignored.
    """
    pairs = [(first[seed], second[seed]) for seed in first if seed in second]
    scores = [_score(a, b, is_higher_better=is_higher_better) for a, b in pairs]
    wins, ties, losses = (scores.count(score) for score in (1.0, 0.5, 0.0))
    p, interval = (statistics.fmean(scores), _bootstrap(wins, ties, losses)) if pairs else (None, None)
    verdict = _judge(len(pairs), p, interval)
    return PairedComparison(len(pairs), measure_difference(first, second), wins, ties, losses, p, interval, verdict)


def measure_difference(first: Values, second: Values) -> Spread:
    """Return the spread of first − second over the common seeds; a seed counts as diverged if either run diverged."""
    pairs = {seed: (first[seed], second[seed]) for seed in first if seed in second}
    return measure_spread({seed: None if a is None or b is None else a - b for seed, (a, b) in pairs.items()})


def _score(first: float | None, second: float | None, *, is_higher_better: bool) -> float:
    """Return 1 if the first value is better, 0.5 if both are equal, else 0; divergence is worse than any value."""
    if first is None or second is None:
        return 0.5 if first is second else float(second is None)
    if first == second:
        return 0.5
    return float((first > second) == is_higher_better)


def _judge(pairs: int, p: float | None, interval: tuple[float, float] | None) -> Verdict:
    if p is None or interval is None or pairs < FEWEST_PAIRS:
        return "too few"
    if p >= _CLEAR and interval[0] > 0.5:
        return "first"
    if p <= 1 - _CLEAR and interval[1] < 0.5:
        return "second"
    return "unclear"


@cache
def _bootstrap(wins: int, ties: int, losses: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean score over all resamples, computed exactly.

    This is the expanded percentile interval of Hesterberg (2015), "What teachers should know about the bootstrap". For
    few pairs, the interval from the 2.5 % to the 97.5 % percentile is too narrow; Student's t and the factor
    √(n / (n − 1)) correct this. Otherwise, equal methods would be called different in 12 % of comparisons of 7 pairs.
    """
    from scipy.special import ndtr

    n = wins + ties + losses
    if n == 1:
        return 0.0, 1.0
    tail = float(ndtr(-math.sqrt(n / (n - 1)) * _t_quantile(n)))
    # By symmetry, swapping wins and losses turns the upper limit into the lower limit.
    return _percentile(losses, ties, wins, tail), 1 - _percentile(wins, ties, losses, tail)


def _percentile(losses: int, ties: int, wins: int, tail: float) -> float:
    """Return the least mean score that a resample stays at or below with a probability of at least `tail`."""
    import numpy as np

    n = losses + ties + wins
    one = np.array([losses, ties, wins]) / n  # probabilities of the scores 0, 0.5 and 1 of a pair
    total = np.ones(1)
    for digit in f"{n:b}":  # the distribution of the sum of n scores, by repeated squaring
        total = np.convolve(total, total)
        total = np.convolve(total, one) if digit == "1" else total
    return float(np.searchsorted(np.cumsum(total), tail)) / (2 * n)


def describe_comparison(comparison: PairedComparison, first: str, second: str) -> str:
    """Return the verdict as a sentence.

    Args:
        comparison: The comparison.
        first: Name of the first group.
        second: Name of the second group.
    """
    if comparison.p_better is None or comparison.p_interval is None or comparison.verdict == "too few":
        seeds = f"{comparison.pairs} seed{'' if comparison.pairs == 1 else 's'} in common"
        return f"no verdict from {seeds}: train both with at least {FEWEST_PAIRS}"
    p, (low, high) = comparison.p_better, comparison.p_interval
    if comparison.verdict == "second" or (comparison.verdict == "unclear" and p < 0.5):
        first, second, p, low, high = second, first, 1 - p, 1 - high, 1 - low
    chance = f"P({first} better than {second}) is {p:.2f}, 95 % interval {low:.2f} to {high:.2f}"
    if comparison.verdict != "unclear":
        return f"{first} is better: {chance}"
    if comparison.ties == comparison.pairs:
        return f"no difference: {first} and {second} are equal in all {comparison.pairs} seeds"
    if comparison.pairs < MOST_USEFUL_PAIRS:
        needed = f"{MOST_USEFUL_PAIRS} seeds tell a P of {_CLEAR} from 0.5 with 5 % errors of both kinds"
        return f"no clear difference: {chance}; {needed}"
    return f"no clear difference: {chance}; a P below {_CLEAR} rarely matters"
