"""The curves of several runs over one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcli.plots import style
from dlcli.plots.lines import draw_lines, needs_log_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """A run's way.

    Attributes:
        name: What its line is called.
        rows: Its log, a row an epoch.
    """

    name: str
    rows: Sequence[Mapping[str, float | int]]


def draw_comparison(curves: Sequence[Curve], metric: str) -> Figure:
    """Return one metric by epoch, a line a run: its colour, dashes, marks and the name at its end tell whose it is.

    Args:
        curves: Of runs of which one at least logged the metric.
        metric: A column of the log, such as `val/loss`.
    """
    n = max(len(curve.rows) for curve in curves)
    lines = {curve.name: _padded([row.get(metric, math.nan) for row in curve.rows], n) for curve in curves}
    with style.drawing():
        figure, axes = style.new_axes(f"{metric} by epoch")
        axes.set_yscale("log" if needs_log_scale(lines) else "linear")
        axes.set_ylabel(metric)
        draw_lines(axes, range(1, n + 1), lines)
        return figure


def _padded(values: Sequence[float], n: int) -> list[float]:
    return [*map(float, values), *[math.nan] * (n - len(values))]
