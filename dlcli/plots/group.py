"""Plots of a group of seeds: the value of every seed, and learning curves with their median."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlcli.errors import DataError
from dlcli.evaluation.group import DIVERGED, ModelInterval
from dlcli.evaluation.group_comparison import GroupComparison, compare_groups
from dlcli.evaluation.seed_statistics import Spread
from dlcli.plots import style
from dlcli.plots.comparison import name_metric
from dlcli.plots.lines import draw_lines, needs_log_scale
from dlcli.runs.files import write_atomic
from dlcli.runs.find import RunName, find_group
from dlcli.runs.group.records import read_group
from dlcli.runs.group.run import GroupRun
from dlcli.runs.log import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 60  # columns of dots across the plot
_ABOVE = 0.08  # distance of the dots from the middle of their row
_STEP, _MOST_SHIFT = 0.07, 0.32  # vertical distance of the dots of a column, and largest shift of a dot
_MANY_LINES = 50  # more lines than this are drawn fainter


def draw_values(
    spreads: Mapping[str, Spread], metric: str, test_set: ModelInterval | None = None, *, is_paired: bool = False
) -> Figure:
    """Draw a dot for each seed and, below it, the mean with its 95 % interval.

    Args:
        spreads: Spread of the metric in each group, by the label of its row.
        metric: Metric, such as `test/accuracy`.
        test_set: Interval of one model, drawn in a row below; None draws no such row.
        is_paired: Whether lines connect the values of each seed.
    """
    rows = [*spreads, *(["one model,\nfinite test set"] if test_set else [])]
    with style.drawing():
        figure, axes = style.new_axes(f"{metric} by seed", height=1.0 + 0.9 * len(rows))
        if is_paired:
            _connect_pairs(axes, list(spreads.values()))
        for i, spread in enumerate(spreads.values()):
            _draw_dots(axes, i, spread)
        if test_set is not None:
            _draw_interval(axes, len(spreads), test_set.value, test_set.interval, style.MUTED)
        axes.set_yticks(range(len(rows)), style.shorten([*spreads], 30) + rows[len(spreads) :])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(name_metric(metric))
        axes.set_title("Small points: seeds; diamonds: means with their 95 % intervals", fontsize=9)
        axes.margins(x=0.06)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        return figure


def compare_seeds_figure(
    first: RunName,
    second: RunName,
    output: str | os.PathLike[str],
    *,
    metric: str | None = None,
    dpi: int = style.DPI,
) -> None:
    """Write a figure with the value of every seed of two groups, connected by seed.

    Args:
        first: Group folder, name or result of `train_seeds`.
        second: The other group.
        output: File to write; its suffix must be .png, .svg or .pdf.
        metric: Metric to draw; None selects the deciding metric of `compare_groups`.
        dpi: Resolution of a PNG file, in dots per inch.

    Raises:
        UsageError: If the groups cannot be compared, or the file has another suffix.
        DataError: If a group cannot be read, or the file cannot be written.
    """
    format_ = style.format_of(Path(output))
    comparison = compare_groups([read_group(find_group(group)) for group in (first, second)], metric)
    figure = draw_pairs(comparison)
    with style.drawing():
        content = style.render(figure, format_, dpi)
    try:
        write_atomic(Path(output), content)
    except DataError as error:
        raise DataError(error.message, hint="choose another file with -o FILE") from error


def draw_pairs(comparison: GroupComparison) -> Figure:
    """Draw the deciding metric of two groups, with a line between the two values of each seed."""
    deciding = comparison.metrics[comparison.metric]
    spreads = dict(zip(comparison.labels, (deciding.first, deciding.second), strict=True))
    return draw_values(spreads, comparison.metric, is_paired=True)


def _connect_pairs(axes: Axes, spreads: Sequence[Spread]) -> None:
    first, second = spreads
    for seed, value in first.values.items():
        partner = second.values.get(seed)
        if value is not None and partner is not None:
            axes.plot([value, partner], [-_ABOVE, 1 - _ABOVE], color=style.FAINT, linewidth=0.8, zorder=0)


def _draw_dots(axes: Axes, row: int, spread: Spread) -> None:
    values = np.array([value for value in spread.values.values() if value is not None])
    if not len(values):
        axes.text(0.5, row, "all diverged", transform=axes.get_yaxis_transform(), ha="center", va="center")
        return
    colour = style.COLOURS[row % len(style.COLOURS)]
    marker = style.MARKERS[row % len(style.MARKERS)]
    heights = row - _ABOVE - _stack(values)
    axes.scatter(values, heights, s=24, color=colour, marker=marker, alpha=0.75, linewidth=0, zorder=2)
    if spread.interval is not None and spread.mean is not None:
        _draw_interval(axes, row + 3 * _ABOVE, spread.mean, spread.interval, "black")


def _draw_interval(axes: Axes, height: float, value: float, ends: tuple[float, float], colour: str) -> None:
    axes.plot(ends, [height, height], color=colour, linewidth=1.6, marker="|", markersize=8, zorder=3)
    axes.plot([value], [height], color=colour, marker="D", markersize=5, zorder=4)


def _stack(values: np.ndarray) -> np.ndarray:
    """Return the shift of each dot upwards, so that equal values are all visible."""
    width = (values.max() - values.min()) / _BINS or 1.0
    seen: dict[int, int] = {}
    shifts = []
    for column in ((values - values.min()) / width).astype(int):
        shifts.append(min(_STEP * seen.get(column, 0), _MOST_SHIFT))
        seen[column] = seen.get(column, 0) + 1
    return np.array(shifts)


def draw_seed_curves(
    groups: Mapping[str, GroupRun], logs: Mapping[str, Mapping[int, Sequence[Row]]], metric: str
) -> Figure:
    """Draw a thin line for each seed, and the median of the seeds that did not diverge.

    Args:
        groups: Groups by the label of their median line; at least one seed must have the metric.
        logs: Log rows by label and seed.
        metric: Column of the logs, such as `val/loss`.
    """
    curves = {name: _curves(group, logs[name], metric) for name, group in groups.items()}
    n = max(table.shape[1] for table in curves.values())
    medians = {name: _median(groups[name], logs[name], table, n) for name, table in curves.items()}
    with style.drawing():
        figure, axes = style.new_axes(f"{metric} by epoch")
        is_log = needs_log_scale({name: table.ravel().tolist() for name, table in curves.items()})
        axes.set_yscale("log" if is_log else "linear")
        axes.set_ylabel(f"{name_metric(metric)}{' (log scale)' if is_log else ''}")
        for i, table in enumerate(curves.values()):
            alpha = 0.4 if len(table) <= _MANY_LINES else 0.15
            axes.plot(range(1, table.shape[1] + 1), table.T, color=style.COLOURS[i], linewidth=0.7, alpha=alpha)
            _mark_divergence(axes, table, [record.status == DIVERGED for record in list(groups.values())[i].seeds])
        axes.set_title("Thin lines: seeds; ×: diverged", fontsize=9)
        draw_lines(axes, range(1, n + 1), medians, gap=0.08)
        return figure


def _mark_divergence(axes: Axes, table: np.ndarray, is_diverged: Sequence[bool]) -> None:
    """Mark the last finite value of each seed that diverged."""
    for line in table[np.array(is_diverged, dtype=bool)]:
        epochs = np.flatnonzero(np.isfinite(line))
        if len(epochs):
            axes.plot(epochs[-1] + 1, line[epochs[-1]], color=style.WRONG, marker="x", markersize=8, linewidth=0)


def _curves(group: GroupRun, logs: Mapping[int, Sequence[Row]], metric: str) -> np.ndarray:
    """Return an array of shape (seeds, epochs); NaN after the last epoch of a seed."""
    rows = [logs.get(record.seed, ()) for record in group.seeds]
    table = np.full((len(rows), max(map(len, rows), default=0)), math.nan)
    for line, log in zip(table, rows, strict=True):
        line[: len(log)] = [row.get(metric, math.nan) for row in log]
    return table


def _median(group: GroupRun, logs: Mapping[int, Sequence[Row]], table: np.ndarray, n: int) -> list[float]:
    """Return the median of the seeds that did not diverge; a seed that stopped early keeps its last value."""
    kept = []
    for record, line in zip(group.seeds, table, strict=True):
        length = len(logs.get(record.seed, ()))
        if length and record.status != DIVERGED:
            kept.append([*line[:length], *[line[length - 1]] * (table.shape[1] - length)])
    median = np.median(kept, axis=0).tolist() if kept else [math.nan] * table.shape[1]
    return [*median, *[math.nan] * (n - len(median))]
