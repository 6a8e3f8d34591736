"""Formats of numbers and curves in the progress displays."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
_NEGLIGIBLE = 1e-3  # fraction of the highest learning rate up to which a rate is shown as 0


def format_rate(examples_per_second: float) -> str:
    """Return a training speed with three digits, such as `1.08 M examples/s`."""
    for size, prefix in _UNITS:
        if examples_per_second >= 0.9995 * size:
            value = examples_per_second / size
            decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{decimals}f}{prefix} examples/s"
    return f"{examples_per_second:.0f} examples/s"


def format_lr(lr: float, highest: float) -> str:
    """Return a learning rate with three digits; see `round_lr`."""
    return f"{round_lr(lr, highest):.3g}"


def round_lr(lr: float, highest: float) -> float:
    """Return a learning rate, or 0 if it is negligible relative to `highest`, as at the end of a cosine schedule."""
    return 0 if lr <= _NEGLIGIBLE * highest else lr


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a curve as a line of block characters on a logarithmic scale.

    Args:
        values: Non-negative values in order; more than `width` values are averaged in equal groups.
        width: Maximum number of characters.
    """
    size = max(1, math.ceil(len(values) / width))
    means = [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    logs = [math.log(max(mean, 1e-30)) for mean in means]
    low, high = min(logs), max(logs)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((log - low) * scale)] for log in logs)
