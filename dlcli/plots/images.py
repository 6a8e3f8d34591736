"""Pictures made of images: examples with what the model says of them, and weights as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from dlcli.plots.style import DIVERGING, FAINT, MUTED, RIGHT, WRONG, Floats, Ints, Sketch, new_axes, shortened
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS = 6
_SHOWN_CLASSES = 4  # bars of a distribution: the likeliest, and the true one
_CELL_WIDTH, _CELL_HEIGHT = 1.25, 1.75  # in units of an image's side
_BAR = 0.15
_EXPLANATION = "bars: P(class | x) of the likeliest classes and of the true one, which is bold, hatched and has a ✓"
_MOST_UNITS = 36
_MOST_COLOURED = 0.998  # of the weights: the few beyond take the last colour, or all others would look like 0


@dataclass(frozen=True)
class _Rows:
    """Which examples are shown, by row: indices into the split, at most `_COLUMNS` each."""

    certain: list[int]
    wrong: list[int]
    uncertain: list[int]

    @property
    def headed(self) -> list[tuple[str, list[int]]]:
        """The rows with what stands above them."""
        rows = [
            ("Right and certain: of each class the surest", self.certain),
            ("Wrong, the surest first", self.wrong),
            ("Uncertain: the highest entropy of all", self.uncertain),
        ]
        return [(heading, indices) for heading, indices in rows if indices]


def examples(run: TrainedRun) -> Sketch | None:
    """Images of the split that the model is sure of, wrong about, unsure of."""
    if run.info.task != "classification" or run.info.image_shape is None:
        return None
    probs, labels = run.predictions.numpy(), run.truth(run.split).numpy()
    rows, wrong = _choose(probs, labels), int((probs.argmax(1) != labels).sum())
    title = f"Examples of {run.split_name}: {len(labels) - wrong:,} of {len(labels):,} right, {wrong:,} wrong"
    names = shortened(run.info.class_names, 40)
    texts = [
        f"{heading}: " + "; ".join(_describe(probs[i], int(labels[i]), names) for i in indices)
        for heading, indices in rows.headed
    ]
    alt = f"Images of {run.split_name} with their predicted distributions. {'. '.join(texts)}."

    def draw() -> Figure:
        headed = rows.headed
        figure, axes = new_axes(title, 1.5 * _COLUMNS, 2.25 * len(headed) + 0.5)
        pixels = run.inputs(run.split)
        low, high = float(pixels.min()), float(pixels.max())
        for row, (heading, indices) in enumerate(headed):
            top = -row * (_CELL_HEIGHT + 0.3)
            axes.text(0, top + 0.07, heading, fontsize=10, va="bottom")
            for column, i in enumerate(indices):
                left = column * _CELL_WIDTH
                draw_tile(axes, pixels[i].reshape(run.info.image_shape or ()).numpy(), left, top, low, high, "gray")
                _draw_distribution(
                    axes, left, top - 1.06, probs[i], int(labels[i]), shortened(run.info.class_names, 11)
                )
        bottom = -len(headed) * (_CELL_HEIGHT + 0.3) + 0.2
        axes.text(0, bottom, _EXPLANATION, fontsize=8, color=MUTED)
        axes.set(xlim=(-0.05, _COLUMNS * _CELL_WIDTH), ylim=(bottom - 0.02, 0.25))
        return figure

    return Sketch(title, alt, draw)


def _choose(probs: Floats, labels: Ints) -> _Rows:
    """Return examples worth looking at; those of equal standing in the order of the split."""
    preds, highest = probs.argmax(1), probs.max(1)
    order = np.argsort(-highest, kind="stable")
    first_right: dict[int, int] = {}
    for i in order[(preds == labels)[order]]:
        first_right.setdefault(int(labels[i]), int(i))
    wrong = order[(preds != labels)[order]]
    entropy = -(probs * np.log(np.where(probs > 0, probs, 1))).sum(1)
    return _Rows(
        certain=list(first_right.values())[:_COLUMNS],
        wrong=wrong[:_COLUMNS].tolist(),
        uncertain=np.argsort(-entropy, kind="stable")[:_COLUMNS].tolist(),
    )


def _describe(probs: Floats, label: int, names: Sequence[str]) -> str:
    pred = int(probs.argmax())
    return f"{names[pred]} with {probs[pred]:.2f}" + ("" if pred == label else f", truly {names[label]}")


def draw_tile(axes: Axes, image: Floats, left: float, top: float, low: float, high: float, cmap: str) -> AxesImage:
    """Draw an image whose longer side is 1 into axes whose ticks and frame are taken off."""
    axes.set_axis_off()
    height, width = (side / max(image.shape) for side in image.shape)
    drawn = axes.imshow(
        image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest", extent=(left, left + width, top - height, top)
    )
    axes.set_aspect("equal")
    return drawn


def _draw_distribution(axes: Axes, left: float, top: float, probs: Floats, label: int, names: Sequence[str]) -> None:
    """Draw the likeliest classes as bars, the true one in its colour and bold, and what is predicted first."""
    from matplotlib.patches import Rectangle

    shown = np.argsort(-probs, kind="stable")[:_SHOWN_CLASSES].tolist()
    if label not in shown:
        shown[-1] = label
    for i, one in enumerate(shown):
        y = top - (i + 1) * _BAR
        is_true: bool = one == label
        colour = RIGHT if is_true else WRONG if i == 0 else FAINT
        bar: dict[str, Any] = {"facecolor": colour, "hatch": "////" if is_true else "", "edgecolor": "white"}
        axes.add_patch(Rectangle((left, y), max(float(probs[one]), 0.004), _BAR * 0.9, alpha=0.55, linewidth=0, **bar))
        weight = "bold" if is_true else "normal"
        text = f"{names[one]} ✓" if is_true else names[one]
        axes.text(left + 0.02, y + _BAR * 0.45, text, fontsize=6.5, va="center", weight=weight)
        axes.text(
            left + 1.0, y + _BAR * 0.45, f"{probs[one]:.2f}", fontsize=6.5, va="center", ha="right", weight=weight
        )


def weights(run: TrainedRun) -> Sketch | None:
    """What each unit of the first layer looks for."""
    if run.info.image_shape is None:
        return None
    layer = run.model[0]
    assert isinstance(layer, nn.Linear), "every model begins with one"
    values = layer.weight.detach().cpu().double().numpy()
    norms = np.linalg.norm(values, axis=1)
    is_linear = len(run.model) == 1
    chosen = np.argsort(-norms, kind="stable")[:_MOST_UNITS]
    chosen = np.sort(chosen) if is_linear else chosen
    which = "" if len(chosen) == len(norms) else f": {len(chosen)} of {len(norms)} units, the largest norms"
    what = "Weights of each output" if is_linear else "First-layer weights"
    title = f"{what} as images{which}"
    limit = float(np.quantile(np.abs(values[chosen]), _MOST_COLOURED)) or 1.0
    alt = (
        f"{len(chosen)} images of {run.info.image_shape[0]} by {run.info.image_shape[1]} weights, from {-limit:.3g} "
        f"(dark blue) to {limit:.3g} (yellow); norms from {norms[chosen].min():.3g} to {norms[chosen].max():.3g}."
    )
    labels = shortened(run.info.class_names or [f"output {i}" for i in range(len(norms))]) if is_linear else None

    def draw() -> Figure:
        shape = run.info.image_shape or ()
        return _draw_weights(
            title, [values[i].reshape(shape) for i in chosen], limit, labels and [labels[i] for i in chosen]
        )

    return Sketch(title, alt, draw)


def _draw_weights(title: str, images: Sequence[Floats], limit: float, labels: Sequence[str] | None) -> Figure:
    columns = 5 if labels else 6 if len(images) > 16 else 4
    rows, height = -(-len(images) // columns), 1.28 if labels else 1.08
    figure, axes = new_axes(title, 1.12 * columns + 1.0, rows * height * 1.05 + 0.6)
    for i, image in enumerate(images):
        left, top = (i % columns) * 1.08, -(i // columns) * height
        tile = draw_tile(axes, image, left, top, -limit, limit, DIVERGING)
        if labels:
            axes.text(left, top + 0.03, labels[i], va="bottom", fontsize=9)
    axes.set(xlim=(-0.02, columns * 1.08 - 0.06), ylim=(-rows * height, 0.2 if labels else 0.02))
    bar = figure.colorbar(tile, ax=axes, shrink=0.6)
    bar.set_label("weight: dark below 0, bright above")
    return figure
