"""The curves of several runs over one another."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from dlcli.analysis.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows: TypeAlias = Sequence[Mapping[str, float | int]]

_MOST_MARKERS = 12  # on a line
_LABEL_GAP = 0.055  # least distance of two labels, as a share of the height


@dataclass(frozen=True)
class Curve:
    """A run's way.

    Attributes:
        name: What its line is called.
        rows: Its log, a row an epoch.
    """

    name: str
    rows: Rows


def draw_comparison(curves: Sequence[Curve], metric: str) -> Figure:
    """Return one metric by epoch, a line a run: its colour, marker, dashes and the name at its end tell whose it is.

    A loss that spans more than a factor of 30 is drawn on a logarithmic scale.

    Args:
        curves: Of runs that logged the metric at least once.
        metric: A column of the log, such as `val/loss`.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    with style.drawing():
        figure, axes = style.new_axes(7.2, 4.2)
        ends: list[tuple[float, float, str, str]] = []
        for i, curve in enumerate(curves):
            points = [(row["epoch"], row[metric]) for row in curve.rows if _is_drawn(row.get(metric))]
            if not points:
                continue
            epochs, values = zip(*points, strict=True)
            colour = style.COLOURS[i % len(style.COLOURS)]
            marker, line = (
                style.MARKERS[i % len(style.MARKERS)],
                style.LINES[i // len(style.COLOURS) % len(style.LINES)],
            )
            every = max(1, math.ceil(len(points) / _MOST_MARKERS))
            axes.plot(epochs, values, color=colour, linestyle=line, marker=marker, markevery=every, markersize=5)
            ends.append((epochs[-1], values[-1], curve.name, colour))
        axes.set(xlabel="epoch", ylabel=metric)
        if _spans_decades([curve.rows for curve in curves], metric):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        _label_ends(axes, ends)
        return figure


def _is_drawn(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _spans_decades(all_rows: Sequence[Rows], metric: str) -> bool:
    values = [row[metric] for rows in all_rows for row in rows if _is_drawn(row.get(metric))]
    return bool(values) and min(values) > 0 and max(values) > 30 * min(values)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each run's name to the right of the axes, at the height where its line ends, none over another."""
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1] for x, y, _, _ in ends]
    for (x, y, name, colour), height in zip(ends, _spread(heights), strict=True):
        axes.annotate(
            name,
            (x, y),
            (1.04, height),
            textcoords="axes fraction",
            color=colour,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6},
            annotation_clip=False,
        )


def _spread(heights: Sequence[float]) -> list[float]:
    """Return heights a gap apart and, where they fit, below 1, in their order and close to where they were."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    spread = list(heights)
    for below, i in itertools.pairwise(order):
        spread[i] = max(spread[i], spread[below] + _LABEL_GAP)
    ceiling = 1.0
    for i in reversed(order):
        spread[i] = min(spread[i], ceiling)
        ceiling = spread[i] - _LABEL_GAP
    return spread
