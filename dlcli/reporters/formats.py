"""Number formats of the progress displays."""

from __future__ import annotations

_UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
_NEGLIGIBLE = 1e-3  # of the highest learning rate


def format_seconds(seconds: float) -> str:
    """Return a duration, such as `12 ms`, `0.52 s`, `7.4 s`, `2:05 min` or `1:02:05 h`."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 0.995 else f"{seconds:.1f} s"
    return f"{format_clock(seconds)} {'min' if seconds < 3599.5 else 'h'}"


def format_clock(seconds: float) -> str:
    """Return a duration as `m:ss`, or `h:mm:ss` from one hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


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
