"""Line plots over epochs, with labels at the line ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from dlcli.plots.style import COLOURS, LINES, MARKERS, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOM = 0.12  # margin above and below the lines, for the label at the best epoch
_MARKED = 15  # maximum number of points of a line with markers
_FEW_DECADES = 100  # ratio of the axis limits below which 2 and 5 are labelled between the powers of 10
_FACTOR = 20  # ratio of the largest to the smallest value above which the scale is logarithmic


def draw_lines(axes: Axes, epochs: Sequence[int], lines: Mapping[str, Sequence[float]], *, gap: float = 0.06) -> None:
    """Draw each line in a separate colour and dash pattern, with its name at the end.

    Args:
        axes: Axes whose scale is already set.
        epochs: Epoch numbers, counted from 1; at least one.
        lines: Values by name, one per epoch; NaN leaves a gap.
        gap: Minimum distance between two names, as a fraction of the height of the axes.
    """
    axes.margins(y=_ROOM)
    for i, values in enumerate(lines.values()):
        axes.plot(
            epochs,
            values,
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINES[i % len(LINES)],
            marker=MARKERS[i % len(MARKERS)] if len(epochs) <= _MARKED else None,
            markersize=5,
        )
    _set_epoch_axis(axes, epochs)
    if axes.get_yscale() == "log":
        label_log_axis(axes)
    _name_ends(axes, lines, gap)


def _set_epoch_axis(axes: Axes, epochs: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    room = 0.03 * (max(epochs) - min(epochs)) or 0.5
    axes.set_xlim(max(min(epochs) - room, 0.5), max(epochs) + room)  # epochs are counted from 1
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")


def label_log_axis(axes: Axes, axis: Literal["x", "y"] = "y") -> None:
    """Label a logarithmic axis with decimals, because matplotlib's default, math text, is switched off."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axes.get_ylim() if axis == "y" else axes.get_xlim()
    chosen = axes.yaxis if axis == "y" else axes.xaxis
    chosen.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _FEW_DECADES else (1,)))
    chosen.set_major_formatter(lambda value, _: f"{value:g}")
    chosen.set_minor_formatter(NullFormatter())


def _name_ends(axes: Axes, lines: Mapping[str, Sequence[float]], gap: float) -> None:
    """Write each name beside the last value of its line, without overlap."""
    ends = [_height(axes, values) for values in lines.values()]
    order = np.argsort(ends, kind="stable")
    gap = min(gap, 1 / len(ends))
    # Move each label a gap above the previous label, then down far enough to leave room for those above.
    apart = np.arange(len(ends)) * gap
    heights = np.maximum.accumulate(np.array(ends)[order] - apart) + apart
    heights = np.minimum(heights, 1 - apart[::-1])
    for i, height in zip(order, heights, strict=True):
        axes.annotate(
            list(lines)[i],
            (1, height),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=COLOURS[i % len(COLOURS)],
        )


def _height(axes: Axes, values: Sequence[float]) -> float:
    """Return the height at which a line ends, as a fraction of the axes; 0 if no value is visible."""
    seen = [value for value in values if np.isfinite(value) and (value > 0 or axes.get_yscale() != "log")]
    if not seen:
        return 0.0
    pixels = axes.transData.transform((axes.get_xlim()[0], seen[-1]))
    return float(np.clip(axes.transAxes.inverted().transform(pixels)[1], 0, 1))


def mark_epoch(axes: Axes, epoch: int, value: float, text: str, *, is_low: bool) -> None:
    """Mark a point of a line and its epoch, with text above the point, or below if `is_low`."""
    axes.axvline(epoch, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    if np.isfinite(value):
        axes.plot([epoch], [value], marker="*", markersize=13, color="black", markeredgecolor="white", zorder=5)
        low, high = axes.get_xlim()
        is_right = epoch > (low + high) / 2
        axes.annotate(
            text,
            (epoch, value),
            xytext=(-9 if is_right else 9, -11 if is_low else 9),
            textcoords="offset points",
            horizontalalignment="right" if is_right else "left",
            verticalalignment="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
            zorder=6,
        )


def needs_log_scale(lines: Mapping[str, Sequence[float]]) -> bool:
    """Return whether all values are positive and too far apart for a linear scale."""
    values = np.array([value for line in lines.values() for value in line], dtype=float)
    values = values[np.isfinite(values)]
    return bool(len(values)) and bool(values.min() > 0) and bool(values.max() > _FACTOR * values.min())
