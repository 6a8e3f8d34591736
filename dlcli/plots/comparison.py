"""Learning curves of several runs in one plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dlcli.plots import style
from dlcli.plots.lines import draw_lines, needs_log_scale
from dlcli.runs.log import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_comparison(logs: Mapping[str, Sequence[Row]], metric: str) -> Figure:
    """Draw one metric by epoch, with one line per run.

    Each line has a separate colour, dash pattern and marker, and its name at its end.

    Args:
        logs: Rows of each run's log, by the label of its line; at least one has the metric.
        metric: Column of the log, such as `val/loss`.
    """
    n = max(map(len, logs.values()))
    lines = {name: _padded([row.get(metric, math.nan) for row in rows], n) for name, rows in logs.items()}
    with style.drawing():
        figure, axes = style.new_axes(f"{metric} by epoch")
        axes.set_yscale("log" if needs_log_scale(lines) else "linear")
        axes.set_ylabel(metric)
        draw_lines(axes, range(1, n + 1), lines)
        return figure


def _padded(values: Sequence[float], n: int) -> list[float]:
    return [*map(float, values), *[math.nan] * (n - len(values))]
