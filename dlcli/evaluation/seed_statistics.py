"""Statistics of several seeds: mean, standard deviation, interval and range of a metric."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from dlcli.config.schema import HIGHER_IS_BETTER

Values: TypeAlias = Mapping[int, float | None]  # value of each seed; None for a seed that diverged

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
    half = t_quantile(n) * sd / math.sqrt(n)
    return max(mean - half, bounds[0]), min(mean + half, bounds[1])


def bounds_of(metric: str) -> tuple[float, float]:
    """Return the smallest and the largest possible value of a metric such as `val/accuracy`."""
    name = metric.rpartition("/")[2]
    if name == "r2":
        return -math.inf, 1.0
    return 0.0, 1.0 if name in HIGHER_IS_BETTER else math.inf


@cache
def t_quantile(n: int) -> float:
    """Return the 97.5 % quantile of Student's t for n values."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    return float(stdtrit(n - 1, 0.975))
