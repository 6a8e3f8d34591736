"""Confidence intervals of a metric on a finite split, without torch."""

from __future__ import annotations

import math

_NORMAL_QUANTILE = 1.959963984540054  # the 97.5 % quantile, for a 95 % interval


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of hits / n (Wilson 1927); it stays within 0..1 even if all are hits."""
    rate, z2 = hits / n, _NORMAL_QUANTILE**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def rmse_interval(mse: float, sd: float, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a root mean squared error, from the normal interval of the MSE.

    Args:
        mse: Mean of the squared errors.
        sd: Standard deviation of the squared errors, with divisor n − 1.
        n: Number of examples.
    """
    half = _NORMAL_QUANTILE * sd / math.sqrt(n)
    return math.sqrt(max(0.0, mse - half)), math.sqrt(mse + half)
