"""Learning curves of several runs in one plot."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.config.schema import HEADLINE
from dlcli.errors import DataError
from dlcli.overview import describe_setup
from dlcli.plots import style
from dlcli.plots.curves import METRIC_NAMES
from dlcli.plots.lines import draw_lines, needs_log_scale
from dlcli.runs.files import write_atomic
from dlcli.runs.folder import name_run
from dlcli.runs.labels import label_runs
from dlcli.runs.log import Row
from dlcli.runs.run import Run, RunLike, open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 3  # maximum number of runs named in the footer
_PANEL = 2.6  # height in inches
_SPLITS = {"train": "training", "val": "validation"}


def compare_figure(runs: Sequence[RunLike], output: str | os.PathLike[str], *, dpi: int = style.DPI) -> None:
    """Write a figure with the headline metric and the loss of several runs on validation, by epoch.

    Args:
        runs: Runs to compare.
        output: File to write; its suffix must be .png, .svg or .pdf.
        dpi: Resolution of a PNG file, in dots per inch.

    Raises:
        UsageError: If a run does not exist, or the file has another suffix.
        DataError: If a run cannot be read, no run has validation metrics, or the file cannot be written.
    """
    format_ = style.format_of(Path(output))
    opened = [open_run(run) for run in runs]
    with style.drawing():
        content = style.render(_draw(opened), format_, dpi)
    try:
        write_atomic(Path(output), content)
    except DataError as error:
        raise DataError(error.message, hint="choose another file with -o FILE") from error


def _draw(runs: Sequence[Run]) -> Figure:
    logs = dict(zip(label_runs(runs), (run.rows for run in runs), strict=True))
    metrics = dict.fromkeys([*(f"val/{HEADLINE[run.config.task]}" for run in runs), "val/loss"])
    shown = [metric for metric in metrics if any(metric in row for rows in logs.values() for row in rows)]
    if not shown and any(logs.values()):
        raise DataError("none of the runs has validation metrics", hint="train with a `data.val_fraction` above 0")
    if not shown:
        raise DataError("none of the runs has completed an epoch", hint="train longer, or with a lower learning rate")
    heading = ", ".join(name_metric(metric) for metric in shown)
    figure = style.new_figure(f"{heading[0].upper()}{heading[1:]}", height=1.0 + _PANEL * len(shown))
    all_axes = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(all_axes, shown, strict=True):
        _draw_metric(axes, logs, metric)
        axes.label_outer()
    figure.align_ylabels()
    names = ", ".join(name_run(run.path, run.config.name) for run in runs) if len(runs) <= _NAMED else ""
    style.add_footer(figure, [_describe(run) for run in runs], names or f"{len(runs)} runs")
    return figure


def _describe(run: Run) -> style.Setup:
    info = run.load_checkpoint("best").info if run.has_checkpoint("best") else None
    return describe_setup(run.config, info)


def draw_comparison(logs: Mapping[str, Sequence[Row]], metric: str) -> Figure:
    """Draw one metric by epoch, with one line per run.

    Each line has a separate colour, dash pattern and marker, and ends at a label.

    Args:
        logs: Rows of each run's log, by the label of its line; at least one run must have the metric.
        metric: Column of the log, such as `val/loss`.
    """
    with style.drawing():
        figure, axes = style.new_axes(f"{metric} by epoch")
        _draw_metric(axes, logs, metric)
        return figure


def _draw_metric(axes: Axes, logs: Mapping[str, Sequence[Row]], metric: str) -> None:
    n = max(map(len, logs.values()))
    lines = {name: _padded([row.get(metric, math.nan) for row in rows], n) for name, rows in logs.items()}
    scale = "log" if needs_log_scale(lines) else "linear"
    axes.set_yscale(scale)
    axes.set_ylabel(f"{name_metric(metric)}{' (log scale)' if scale == 'log' else ''}")
    named = {
        name if any(map(math.isfinite, values)) else f"{name}: no values": values for name, values in lines.items()
    }
    draw_lines(axes, range(1, n + 1), named, gap=0.08)


def name_metric(metric: str) -> str:
    """Return `validation RMSE` for `val/rmse`."""
    split, _, name = metric.partition("/")
    return f"{_SPLITS.get(split, split)} {METRIC_NAMES.get(name, name)}"


def _padded(values: Sequence[float], n: int) -> list[float]:
    return [*map(float, values), *[math.nan] * (n - len(values))]
