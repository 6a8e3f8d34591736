"""Decision regions of a classifier with two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dlcli.data.splits import Split
from dlcli.plots.style import (
    MANY,
    MUTED,
    Floats,
    Ints,
    Sketch,
    class_style,
    new_axes,
    percent,
    shorten,
)
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FINE = 240  # grid points along each feature
_LEGEND = 16  # maximum number of classes named in the legend


def regions(run: TrainedRun) -> Sketch | None:
    """Return the decision regions of a classifier with two features, with the examples; None for other runs."""
    info = run.info
    if info.task != "classification" or info.in_features != 2:
        return None
    points, labels = run.inputs(run.split).numpy(), run.truth(run.split).numpy()
    is_wrong = run.predictions.argmax(1).numpy() != labels
    accuracy = percent(1 - is_wrong.mean())
    title = f"Decision regions: {accuracy} of {run.split_name} correct"
    first, second = shorten(info.feature_names or ("input 1", "input 2"), 30)
    alt = (
        f"The plane of {first} and {second}, divided into the regions of {info.out_features} classes, with "
        f"{len(points):,} examples of {run.split_name}; {int(is_wrong.sum()):,} are in a wrong region."
    )

    def draw() -> Figure:
        figure, axes = new_axes(title, 6.8, 5.0)
        _draw_regions(axes, run)
        if run.split_name != "train":
            train = run.splits.train
            _draw_points(axes, run.inputs(train).numpy(), run.truth(train).numpy(), run, is_background=True)
        _draw_points(axes, points, labels, run, is_background=False)
        x, y = points[is_wrong].T
        axes.plot(x, y, "o", markersize=12, color="none", markeredgecolor="black", label=f"wrong ({len(x):,})")
        axes.set(xlabel=first, ylabel=second)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1, 1),
            title=_legend_title(run),
            alignment="left",
            fontsize=9,
            title_fontsize=8,
        )
        return figure

    return Sketch(title, alt, draw)


def _legend_title(run: TrainedRun) -> str:
    small = "" if run.split_name == "train" else "\nsmall: train"
    return f"darker colour:\nhigher P(class | x)\nlarge: {run.split_name}{small}"


def grid_probabilities(run: TrainedRun) -> tuple[Floats, Floats, Floats]:
    """Return grid coordinates in the features' units, of shape (columns,) and (rows,), and P(class | x) on the grid.

    The probabilities have shape (rows, columns, classes). The grid covers all examples shown, with a margin.
    """
    shown = torch.cat([run.inputs(run.splits.train), run.inputs(run.split)])
    low, high = shown.amin(0), shown.amax(0)
    padding = (high - low).clamp_min(1e-9) * 0.06
    x, y = (
        torch.linspace(float(a), float(b), _FINE, dtype=torch.float64)
        for a, b in zip(low - padding, high + padding, strict=True)
    )
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    scaled = run.splits.input_scaling.apply(grid).to(run.split.dtype)
    probs = run.predict(Split(scaled, torch.zeros(len(grid), dtype=torch.int64)))
    return x.numpy(), y.numpy(), probs.reshape(_FINE, _FINE, -1).numpy()


def _draw_regions(axes: Axes, run: TrainedRun) -> None:
    from matplotlib.colors import to_rgb

    x, y, probs = grid_probabilities(run)
    k = probs.shape[-1]
    winner, highest = probs.argmax(-1), probs.max(-1)
    colours = np.array([to_rgb(class_style(label)[0]) for label in range(k)])
    strength = 0.12 + 0.48 * (highest - 1 / k) / (1 - 1 / k)
    axes.imshow(
        1 - strength[..., None] * (1 - colours[winner]),
        extent=(x[0], x[-1], y[0], y[-1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    for label in range(k):
        margin = probs[..., label] - np.delete(probs, label, -1).max(-1)
        if margin.min() < 0 < margin.max():
            axes.contour(x, y, margin, levels=[0], colors="black", linewidths=0.8)


def _draw_points(axes: Axes, points: Floats, labels: Ints, run: TrainedRun, *, is_background: bool) -> None:
    for label, name in enumerate(shorten(run.info.class_names)):
        colour, marker = class_style(label)
        x, y = points[labels == label].T
        axes.plot(
            x,
            y,
            marker,
            color=colour,
            markersize=3 if is_background else 6,
            alpha=0.5 if is_background else 1,
            markeredgecolor=MUTED if is_background else "white",
            markeredgewidth=0.2 if is_background else 0.7,
            rasterized=len(x) > MANY,
            label=None if is_background or label >= _LEGEND else name,
        )
