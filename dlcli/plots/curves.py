"""Learning curves: loss, metrics and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.plots.lines import draw_lines, mark_epoch, needs_log_scale
from dlcli.plots.style import MUTED, Sketch, new_axes, new_figure, shorten
from dlcli.reporters.formats import format_lr
from dlcli.runs.comparison import is_f1_redundant
from dlcli.runs.manifest import count_classes
from dlcli.runs.trained_run import TrainedRun
from dlcli.training.state import Monitor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS_NAMES = {
    "cross_entropy": "cross-entropy, nats per example",
    "mse": "squared error",
    "l1": "absolute error",
    "huber": "Huber loss",
}
METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
_LEAST_R2 = -0.5  # lower limit of the axis; the first epochs can be far below it and would compress the rest


def best_epoch(run: TrainedRun) -> int:
    """Return the epoch with the best monitored metric, by the rule that selects checkpoints; 0 without a log."""
    monitor = Monitor.of(run.config.checkpoint.monitor)
    for row in run.rows:
        monitor.update(int(row["epoch"]), {monitor.metric: row.get(run.config.checkpoint.monitor, np.nan)})
    return monitor.best_epoch


def loss(run: TrainedRun) -> Sketch | None:
    """Return the loss of train, and of val if it exists, by epoch; None without a log."""
    if not run.rows:
        return None
    epochs, best = _epochs(run), best_epoch(run)
    lines = {name: _column(run, f"{name}/loss") for name in (("train", "val") if len(run.splits.val) else ("train",))}
    monitored = run.splits.monitored_name
    title = f"Loss: best epoch {best} of {len(epochs)}{_criterion(run)}"
    at_best = lines[monitored][best - 1]
    parts = [f"{name.capitalize()}: {_first_and_last(values)}" for name, values in lines.items()]
    alt = f"Loss over {_count(len(epochs), 'epoch')}. {'. '.join(parts)}; {at_best:.4g} in the best epoch, {best}."

    def draw() -> Figure:
        figure, axes = new_axes(title)
        scale = "log" if needs_log_scale(lines) else "linear"
        axes.set_yscale(scale)
        target = ", scaled target" if run.info.task == "regression" else ""
        axes.set_ylabel(f"{_LOSS_NAMES[run.config.loss.name]}{target}{' (log scale)' if scale == 'log' else ''}")
        draw_lines(axes, epochs, lines)
        mark_epoch(axes, best, at_best, f"{monitored} {at_best:.4g}", is_low=True)
        return figure

    return Sketch(title, alt, draw)


def metrics(run: TrainedRun) -> Sketch | None:
    """Return the validation metrics by epoch: accuracy, or errors in the target's unit and R².

    The macro F1 score is added if the classes are unbalanced. None without a log or a validation split.
    """
    if not run.rows or not len(run.splits.val):
        return None
    epochs, best = _epochs(run), best_epoch(run)
    panels: list[tuple[str, ...]] = [("rmse", "mae"), ("r2",)]
    if run.info.task == "classification":
        panels = [("accuracy",) if is_f1_redundant(count_classes(run.splits)) else ("accuracy", "macro_f1")]
    columns = {name: _column(run, f"val/{name}") for names in panels for name in names}
    headline = panels[0][0]
    at_best = columns[headline][best - 1]
    unit = f" {shorten([run.info.target_unit], 30)[0]}" if run.info.target_unit and headline == "rmse" else ""
    title = f"Validation: {METRIC_NAMES[headline]} {at_best:.4g}{unit} in the best epoch, {best} of {len(epochs)}"
    parts = [
        f"{METRIC_NAMES[name]}: {_first_and_last(values)}; {values[best - 1]:.4g} in the best epoch"
        for name, values in columns.items()
    ]
    alt = f"Validation metrics over {_count(len(epochs), 'epoch')}; the best epoch is {best}. {'. '.join(parts)}."

    def draw() -> Figure:
        figure = new_figure(title, height=4.0 if len(panels) == 1 else 5.2)
        all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, names in zip(all_axes, panels, strict=True):
            _draw_metrics(axes, run, epochs, {name: columns[name] for name in names}, best)
            axes.label_outer()
        figure.align_ylabels()
        return figure

    return Sketch(title, alt, draw)


def _draw_metrics(
    axes: Axes, run: TrainedRun, epochs: Sequence[int], columns: Mapping[str, Sequence[float]], best: int
) -> None:
    info, names = run.info, list(columns)
    if names == ["r2"]:
        axes.set_ylabel("R² on val")
        lowest = min((value for value in columns["r2"] if np.isfinite(value)), default=0)
        if lowest < _LEAST_R2:
            axes.set_ylim(_LEAST_R2, 1.05)
            axes.text(
                0.99, 0.03, f"lowest: {lowest:.3g}", transform=axes.transAxes, ha="right", color=MUTED, fontsize=8
            )
        axes.axhline(0, color=MUTED, linewidth=0.8)
    elif info.task == "regression":
        unit = f" ({shorten([info.target_unit], 30)[0]})" if info.target_unit else ""
        scale = "log" if needs_log_scale(columns) else "linear"
        axes.set_yscale(scale)
        axes.set_ylabel(f"error on val{unit}{', log scale' if scale == 'log' else ''}")
    else:
        axes.set_ylabel("fraction of validation examples")
    lines = {METRIC_NAMES[name]: values for name, values in columns.items()}
    if info.noise and "rmse" in columns:
        lines["noise"] = [info.noise] * len(epochs)
    draw_lines(axes, epochs, lines, gap=0.1 if info.task == "regression" else 0.06)
    value = columns[names[0]][best - 1]
    mark_epoch(axes, best, value, f"{value:.4g}", is_low=names[0] not in HIGHER_IS_BETTER)


def learning_rate(run: TrainedRun) -> Sketch | None:
    """Return the learning rate of each epoch's last step; None without a log."""
    if not run.rows:
        return None
    epochs, rates = _epochs(run), _column(run, "lr")
    first, last, highest = (format_lr(rate, max(rates)) for rate in (rates[0], rates[-1], max(rates)))
    if min(rates) == max(rates):
        title = f"Learning rate: constant at {first}"
    else:
        title = f"Learning rate: {run.config.scheduler.name}, from {first} to {last}"
    alt = (
        f"Learning rate α over {_count(len(epochs), 'epoch')}: {first} at the end of the first epoch, "
        f"at most {highest}, {last} at the end of the last epoch."
    )

    def draw() -> Figure:
        figure, axes = new_axes(title, height=3.0)
        axes.set_ylabel("learning rate α")
        if np.isfinite(max(rates)) and max(rates) > 0:
            axes.set_ylim(0, 1.1 * max(rates))
        draw_lines(axes, epochs, {"": rates})
        return figure

    return Sketch(title, alt, draw)


def _epochs(run: TrainedRun) -> list[int]:
    return [int(row["epoch"]) for row in run.rows]


def _column(run: TrainedRun, name: str) -> list[float]:
    """Return a column of the log; NaN where a row lacks it."""
    return [float(row.get(name, np.nan)) for row in run.rows]


def _criterion(run: TrainedRun) -> str:
    monitor = run.config.checkpoint.monitor
    if monitor.endswith("/loss"):
        return ""
    return f", by {'highest' if monitor.removeprefix('val/') in HIGHER_IS_BETTER else 'lowest'} {monitor}"


def _first_and_last(values: Sequence[float]) -> str:
    return (
        f"{values[0]:.4g} in the first epoch, {values[-1]:.4g} in the last" if len(values) > 1 else f"{values[0]:.4g}"
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
