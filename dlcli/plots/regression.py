"""Regression plots: predicted against true values, residuals and the fitted function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dlcli.data.splits import Split
from dlcli.plots.style import COLOURS, LINES, MANY, MUTED, TRUTH, Floats, Sketch, new_figure, shorten
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 4  # maximum number of targets shown, in one panel each
_FINE = 400  # points per curve


def predictions(run: TrainedRun) -> Sketch | None:
    """Return the plot of predicted against true values; None for classification."""
    if run.info.task != "regression":
        return None
    truth, predicted = run.truth(run.split).numpy(), run.predictions.numpy()
    rmse = _root_mean_square(predicted - truth)
    title = f"Predictions, {run.split_name}: RMSE {_format_values(rmse, run)}{_selection_note(run)}"
    spans = [
        f"{name} is {true.min():.4g} to {true.max():.4g}, predicted {pred.min():.4g} to {pred.max():.4g}"
        for name, true, pred in zip(_target_names(run), truth.T, predicted.T, strict=False)
    ]
    alt = f"Predicted against true values of {len(truth):,} examples of {run.split_name}: {'; '.join(spans)}."

    def draw() -> Figure:
        figure, all_axes = _panels(run, title, 4.6, 4.8)
        for i, (axes, name) in enumerate(zip(all_axes, _target_names(run), strict=True)):
            low, high = _span(np.concatenate([truth[:, i], predicted[:, i]]))
            axes.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--")
            axes.text(0.98, 0.02, "dashed: prediction = truth", transform=axes.transAxes, ha="right", color=MUTED)
            _dots(axes, truth[:, i], predicted[:, i])
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
            axes.set_xlabel(f"true {name}{_unit(run)}")
            axes.set_ylabel(f"predicted {name}{_unit(run)}")
        return figure

    return Sketch(title, alt, draw)


def residuals(run: TrainedRun) -> Sketch | None:
    """Return the residuals (truth − prediction) by prediction, and their histogram; None for classification."""
    if run.info.task != "regression":
        return None
    predicted = run.predictions.numpy()
    residual = run.truth(run.split).numpy() - predicted
    mean, spread = residual.mean(0), residual.std(0)
    title = (
        f"Residuals, {run.split_name}: mean {_format_values(mean[:_MOST], run)}, "
        f"standard deviation {_format_values(spread[:_MOST], run)}{_selection_note(run)}"
    )
    spans = [
        f"{name}: mean {m:.4g}, standard deviation {s:.4g}, from {errors.min():.4g} to {errors.max():.4g}"
        for name, m, s, errors in zip(_target_names(run), mean, spread, residual.T, strict=False)
    ]
    alt = f"Truth minus prediction of {len(residual):,} examples of {run.split_name}. {'; '.join(spans)}."

    def draw() -> Figure:
        names = _target_names(run)
        figure = new_figure(title, 7.2, 1.2 + 2.6 * len(names))
        grid = figure.subplots(len(names), 2, sharey="row", width_ratios=(3, 1), squeeze=False)
        for i, (name, (scatter, histogram)) in enumerate(zip(names, grid, strict=True)):
            _dots(scatter, predicted[:, i], residual[:, i])
            scatter.set_xlabel(f"predicted {name}{_unit(run)}")
            scatter.set_ylabel(f"truth − prediction{_unit(run)}")
            histogram.hist(
                residual[:, i],
                bins=_bins(residual[:, i]),
                orientation="horizontal",
                color=COLOURS[4],
                edgecolor=COLOURS[0],
                linewidth=0.6,
            )
            histogram.set_xlabel("examples")
            for axes in (scatter, histogram):
                axes.axhline(0, color="black", linewidth=1, linestyle="--")
        return figure

    return Sketch(title, alt, draw)


def fit(run: TrainedRun) -> Sketch | None:
    """Return the learned function, the data and, if known, the true function; None unless a regression has 1 input."""
    info = run.info
    if info.task != "regression" or info.in_features != 1:
        return None
    low, high = _span(run.inputs(run.splits.train).numpy(), margin=0.03)
    x = torch.linspace(low, high, _FINE, dtype=torch.float64).unsqueeze(1)
    scaled = run.splits.input_scaling.apply(x).to(run.split.dtype)
    learned = run.predict(Split(scaled, run.split.targets.new_zeros(_FINE, info.out_features))).numpy()
    true = run.true_function(x.float()).double().numpy() if run.true_function else None
    if true is None:
        title = f"Fit: learned function, {run.split_name}{_selection_note(run)}"
    else:
        distance = _root_mean_square(learned[:, : true.shape[1]] - true)
        noise = f", noise {info.noise:.3g}" if info.noise else ""
        title = f"Fit: RMS distance {_format_values(distance, run)} from the true function{noise}"
    alt = (
        f"The learned function on inputs from {low:.3g} to {high:.3g}, with values from {learned.min():.4g} to "
        f"{learned.max():.4g}, and {len(run.split):,} examples of {run.split_name}. {title}."
    )

    def draw() -> Figure:
        figure, all_axes = _panels(run, title, 6.4, 4.2)
        for i, axes in enumerate(all_axes):
            _draw_fit(axes, run, i, x[:, 0].numpy(), learned[:, i], None if true is None else true[:, i])
        return figure

    return Sketch(title, alt, draw)


def _draw_fit(axes: Axes, run: TrainedRun, i: int, x: Floats, learned: Floats, true: Floats | None) -> None:
    train, split, info = run.splits.train, run.split, run.info
    if run.split_name != "train":
        _dots(axes, run.inputs(train)[:, 0].numpy(), run.truth(train)[:, i].numpy(), "#999999", 2.5, "train")
    _dots(axes, run.inputs(split)[:, 0].numpy(), run.truth(split)[:, i].numpy(), COLOURS[0], 3.5, run.split_name)
    if true is not None:
        if info.noise:
            axes.fill_between(
                x,
                true - info.noise,
                true + info.noise,
                color=COLOURS[5],
                alpha=0.3,
                linewidth=0,
                label="truth ± noise (one standard deviation)",
            )
        formula = shorten([info.formula.removeprefix("y = ")], 30)[0]
        axes.plot(x, true, color=TRUTH, linestyle=LINES[1], linewidth=1.5, label=f"truth: {formula}")
    axes.plot(x, learned, color=COLOURS[1], linewidth=2.2, label="learned")
    axes.set_xlabel(shorten(info.feature_names or ("input",), 40)[0])
    axes.set_ylabel(f"{_target_names(run)[i]}{_unit(run)}")
    axes.legend(fontsize=8, markerscale=1.5)


def _panels(run: TrainedRun, title: str, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel per target, two in a row."""
    n = len(_target_names(run))
    columns = min(n, 2)
    rows = -(-n // columns)
    shrink = 1.0 if n == 1 else 0.75
    figure = new_figure(title, width * columns * shrink, height * rows * shrink)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def _dots(axes: Axes, x: Floats, y: Floats, colour: str = COLOURS[0], size: float = 3.5, label: str = "") -> None:
    """Draw points, which are more transparent if there are many."""
    alpha = float(np.clip(10 / np.sqrt(len(x)), 0.15, 0.9))
    axes.plot(
        x,
        y,
        "o",
        color=colour,
        markersize=size,
        markeredgewidth=0,
        alpha=alpha,
        label=label or None,
        rasterized=len(x) > MANY,
    )


def _bins(values: Floats) -> Floats:
    """Return bin edges that include 0, so that no bin mixes positive and negative residuals."""
    largest = float(np.abs(values).max()) or 1.0
    width = 2 * largest / min(30, max(6, round(2 * np.sqrt(len(values)))))
    below, above = (-np.floor(values.min() / width), np.ceil(values.max() / width))
    return np.asarray(np.arange(-max(below, 1), max(above, 1) + 1) * width, dtype=np.float64)


def _span(values: Floats, margin: float = 0.05) -> tuple[float, float]:
    """Return the range of the values with a margin; never empty."""
    low, high = float(values.min()), float(values.max())
    padding = (high - low) * margin or abs(high) * margin or 1.0
    return low - padding, high + padding


def _target_names(run: TrainedRun) -> list[str]:
    name, n = shorten([run.info.target_name], 30)[0], run.info.out_features
    return [name] if n == 1 else [f"{name} {i}" for i in range(1, min(n, _MOST) + 1)]


def _unit(run: TrainedRun) -> str:
    return f" ({shorten([run.info.target_unit], 20)[0]})" if run.info.target_unit else ""


def _selection_note(run: TrainedRun) -> str:
    n = run.info.out_features
    return f" (first {_MOST} of {n} targets)" if n > _MOST else ""


def _root_mean_square(errors: Floats) -> Floats:
    """Return the root mean square of the errors of each shown target."""
    return np.asarray(np.sqrt(np.square(errors).mean(0)))[:_MOST]


def _format_values(values: Floats, run: TrainedRun) -> str:
    unit = f" {shorten([run.info.target_unit], 20)[0]}" if run.info.target_unit else ""
    return ", ".join(f"{value:.3g}" for value in values) + unit
