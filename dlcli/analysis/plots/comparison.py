"""Learning curves of several runs in one plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlcli.analysis.plots import style
from dlcli.analysis.plots.lines import draw_lines, needs_log_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """Learning curves of one run.

    Attributes:
        name: Label of the line.
        rows: Rows of the log, one per epoch.
    """

    name: str
    rows: Sequence[Mapping[str, float | int]]


def draw_comparison(curves: Sequence[Curve], metric: str) -> Figure:
    """Draw one metric by epoch, with one line per run.

    Each line has a separate colour, dash pattern and marker, and its name at its end.

    Args:
        curves: Runs to compare; at least one of them has logged the metric.
        metric: Column of the log, such as `val/loss`.
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
