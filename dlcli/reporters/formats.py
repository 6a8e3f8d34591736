"""Number formats of the progress displays."""

from __future__ import annotations

_UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
_NEGLIGIBLE = 1e-3  # of the highest learning rate


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
    """Return a learning rate; 0 if it is negligible beside the highest, as at the end of cosine."""
    return 0 if lr <= _NEGLIGIBLE * highest else lr
