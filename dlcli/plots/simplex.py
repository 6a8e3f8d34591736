"""Predictions over three classes on the probability simplex, drawn as a triangle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcli.plots.style import (
    FAINT,
    MANY,
    MUTED,
    Floats,
    Ints,
    Sketch,
    class_style,
    new_figure,
    percent,
    shorten,
)
from dlcli.runs.trained_run import TrainedRun
from dlcli.training.trace import followed_examples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])  # corners of an equilateral triangle, shape (classes, 2)


def simplex(run: TrainedRun) -> Sketch | None:
    """Return predictions as points of the triangle, and training paths of a few examples; None without 3 classes."""
    if run.info.task != "classification" or run.info.out_features != 3:
        return None
    labels, probs = run.truth(run.split).numpy(), run.predictions.numpy()
    paths, classes = _paths(run)
    corner = percent((probs.max(1) > 0.9).mean())
    title = f"Simplex, {run.split_name}: confidence above 0.9 for {corner} of the examples"
    alt = f"Triangle with a corner for each class, and {len(probs):,} predictions of {run.split_name} in it. {title}."
    if len(paths):
        names = shorten(run.info.class_names, 40)
        ends = [
            f"{names[c]}: P({names[c]} | x) {path[0, c]:.2f} to {path[-1, c]:.2f}"
            for path, c in zip(paths, classes, strict=True)
        ]
        followed = f"{len(paths)} examples of {run.splits.monitored_name}"
        alt += f" Beside it, the paths of {followed} over the epochs. {'; '.join(ends)}."

    def draw() -> Figure:
        figure = new_figure(title, 8.6 if len(paths) else 4.8, 4.6)
        all_axes = figure.subplots(1, 2 if len(paths) else 1, squeeze=False)[0]
        names = shorten(run.info.class_names)
        _draw_triangle(all_axes[0], names)
        heading = f"P(class | x) of {len(probs):,} {run.split_name} examples\nmarker and colour: true class"
        all_axes[0].set_title(heading, loc="center")
        for label in range(3):
            colour, marker = class_style(label)
            x, y = (probs[labels == label] @ CORNERS).T
            all_axes[0].plot(
                x,
                y,
                marker,
                color=colour,
                markersize=5,
                alpha=0.7,
                markeredgecolor="white",
                markeredgewidth=0.4,
                rasterized=len(x) > MANY,
                clip_on=False,
            )
        if len(paths):
            _draw_triangle(all_axes[1], names)
            _draw_paths(all_axes[1], paths, classes, run)
        return figure

    return Sketch(title, alt, draw)


def _paths(run: TrainedRun) -> tuple[Floats, Ints]:
    """Return P(class | x) of the traced examples, (examples, epochs, 3), and their labels; empty without traces."""
    followed = followed_examples(run.splits)
    paths = [trace.paths for trace in run.traces.values()]
    if followed is None or not paths or any(np.shape(path) != (len(followed), 3) for path in paths):
        return np.zeros((0, 0, 3)), np.zeros(0, dtype=np.int64)
    return np.array(paths).transpose(1, 0, 2), followed.targets.cpu().numpy()


def _draw_triangle(axes: Axes, names: list[str]) -> None:
    """Draw the triangle with named corners and the boundaries between predicted classes."""
    axes.set_axis_off()
    centre = CORNERS.mean(0)
    for i in range(3):
        middle = (CORNERS[i] + CORNERS[(i + 1) % 3]) / 2
        axes.plot(*np.stack([centre, middle]).T, color=MUTED, linewidth=0.8, linestyle=":", zorder=0)
    axes.fill(*CORNERS.T, facecolor="none", edgecolor="black", linewidth=1)
    for label, (x, y) in enumerate(CORNERS):
        colour, marker = class_style(label)
        is_top = y > 0
        height = y + 0.07 if is_top else y - 0.07
        axes.plot([x], [height], marker, color=colour, markersize=8, clip_on=False)
        axes.text(
            x + (0.04 if label != 1 else -0.04),
            height,
            f"P({names[label]}) = 1",
            va="center",
            ha="right" if label == 1 else "left",
        )
    axes.set(xlim=(-0.05, 1.05), ylim=(-0.14, CORNERS[2, 1] + 0.12), aspect="equal")


def _draw_paths(axes: Axes, paths: Floats, classes: Ints, run: TrainedRun) -> None:
    split_name, epochs = run.splits.monitored_name, list(run.traces)
    for path, label in zip(paths, classes, strict=True):
        colour, marker = class_style(int(label))
        x, y = (path @ CORNERS).T
        axes.plot(x, y, color=colour, linewidth=1, marker=".", markersize=4, alpha=0.6)
        axes.plot(x[:1], y[:1], marker, color=FAINT, markeredgecolor=colour, markersize=7, zorder=4)
        axes.plot(x[-1:], y[-1:], marker, color=colour, markeredgecolor="black", markersize=8, zorder=5, clip_on=False)
    axes.set_title(
        f"Paths of {len(paths)} {split_name} examples\ngrey: after epoch {epochs[0]}, coloured: after {epochs[-1]}",
        loc="center",
    )
