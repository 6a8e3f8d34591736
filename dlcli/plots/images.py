"""Image grids: example images with predicted probabilities, and first-layer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from dlcli.plots.style import DIVERGING, FAINT, MUTED, RIGHT, WRONG, Floats, Ints, Sketch, new_axes, shorten
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS = 6
_SHOWN_CLASSES = 4  # bars per image: the most probable classes and the true class
_CELL_WIDTH, _CELL_HEIGHT = 1.25, 1.75  # in units of an image's longer side
_BAR = 0.15
_EXPLANATION = "bars: P(class | x) of the most probable classes and of the true class (bold, hatched, ✓)"
_MOST_UNITS = 36
_MOST_COLOURED = (
    0.998  # quantile of |weight| at the ends of the colour scale; outliers would make all others look like 0
)


@dataclass(frozen=True)
class _Rows:
    """Examples shown in each row, as indices into the split; at most `_COLUMNS` each."""

    certain: list[int]
    wrong: list[int]
    uncertain: list[int]

    @property
    def headed(self) -> list[tuple[str, list[int]]]:
        """The non-empty rows with their headings."""
        rows = [
            ("Correct, the most confident example of each class", self.certain),
            ("Wrong, most confident first", self.wrong),
            ("Uncertain, highest entropy first", self.uncertain),
        ]
        return [(heading, indices) for heading, indices in rows if indices]


def examples(run: TrainedRun) -> Sketch | None:
    """Return images that the model classifies correctly, wrongly, and with the highest entropy; None for other data."""
    if run.info.task != "classification" or run.info.image_shape is None:
        return None
    probs, labels = run.predictions.numpy(), run.truth(run.split).numpy()
    rows, wrong = _choose(probs, labels), int((probs.argmax(1) != labels).sum())
    title = f"Examples of {run.split_name}: {len(labels) - wrong:,} of {len(labels):,} correct, {wrong:,} wrong"
    names = shorten(run.info.class_names, 40)
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
                draw_tile(axes, _as_image(pixels[i].numpy(), run), left, top, low, high, "gray")
                _draw_distribution(axes, left, top - 1.06, probs[i], int(labels[i]), shorten(run.info.class_names, 11))
        bottom = -len(headed) * (_CELL_HEIGHT + 0.3) + 0.2
        axes.text(0, bottom, _EXPLANATION, fontsize=8, color=MUTED)
        axes.set(xlim=(-0.05, _COLUMNS * _CELL_WIDTH), ylim=(bottom - 0.02, 0.25))
        return figure

    return Sketch(title, alt, draw)


def _choose(probs: Floats, labels: Ints) -> _Rows:
    """Return the examples to show; ties keep the order of the split."""
    preds, highest = probs.argmax(1), probs.max(1)
    order = np.argsort(-highest, kind="stable")
    first_correct: dict[int, int] = {}
    for i in order[(preds == labels)[order]]:
        first_correct.setdefault(int(labels[i]), int(i))
    wrong = order[(preds != labels)[order]]
    entropy = -(probs * np.log(np.where(probs > 0, probs, 1))).sum(1)
    return _Rows(
        certain=list(first_correct.values())[:_COLUMNS],
        wrong=wrong[:_COLUMNS].tolist(),
        uncertain=np.argsort(-entropy, kind="stable")[:_COLUMNS].tolist(),
    )


def _describe(probs: Floats, label: int, names: Sequence[str]) -> str:
    pred = int(probs.argmax())
    return f"{names[pred]} with {probs[pred]:.2f}" + ("" if pred == label else f", true class {names[label]}")


def draw_tile(axes: Axes, image: Floats, left: float, top: float, low: float, high: float, cmap: str) -> AxesImage:
    """Draw an image with its longer side scaled to 1, and remove the ticks and frame of the axes.

    An image of shape (height, width) is drawn with a colour map. An image of shape (height, width, 3) is drawn in red,
    green and blue. In both cases, `low` and `high` are the ends of the range of colours.
    """
    axes.set_axis_off()
    height, width = (side / max(image.shape[:2]) for side in image.shape[:2])
    shown = image if image.ndim == 2 else ((image - low) / (high - low or 1)).clip(0, 1)  # matplotlib draws 0 to 1
    drawn = axes.imshow(
        shown, cmap=cmap, vmin=low, vmax=high, interpolation="nearest", extent=(left, left + width, top - height, top)
    )
    axes.set_aspect("equal")
    return drawn


def _draw_distribution(axes: Axes, left: float, top: float, probs: Floats, label: int, names: Sequence[str]) -> None:
    """Draw the most probable classes as bars, the predicted class first, the true class bold and in another colour."""
    from matplotlib.patches import Rectangle

    shown = np.argsort(-probs, kind="stable")[:_SHOWN_CLASSES].tolist()
    if label not in shown:
        shown[-1] = label
    for i, class_index in enumerate(shown):
        y = top - (i + 1) * _BAR
        is_true: bool = class_index == label
        colour = RIGHT if is_true else WRONG if i == 0 else FAINT
        bar: dict[str, Any] = {"facecolor": colour, "hatch": "////" if is_true else "", "edgecolor": "white"}
        axes.add_patch(
            Rectangle((left, y), max(float(probs[class_index]), 0.004), _BAR * 0.9, alpha=0.55, linewidth=0, **bar)
        )
        weight = "bold" if is_true else "normal"
        text = f"{names[class_index]} ✓" if is_true else names[class_index]
        axes.text(left + 0.02, y + _BAR * 0.45, text, fontsize=6.5, va="center", weight=weight)
        axes.text(
            left + 1.0,
            y + _BAR * 0.45,
            f"{probs[class_index]:.2f}",
            fontsize=6.5,
            va="center",
            ha="right",
            weight=weight,
        )


def weights(run: TrainedRun) -> Sketch | None:
    """Return the plot of the first layer's weights, drawn as images; None if the inputs are not images."""
    if run.info.image_shape is None:
        return None
    layer = run.model[0]
    assert isinstance(layer, nn.Linear), "every model starts with a linear layer"
    values = layer.weight.detach().cpu().double().numpy()
    norms = np.linalg.norm(values, axis=1)
    is_linear = len(run.model) == 1
    chosen = np.argsort(-norms, kind="stable")[:_MOST_UNITS]
    chosen = np.sort(chosen) if is_linear else chosen
    which = "" if len(chosen) == len(norms) else f": {len(chosen)} of {len(norms)} units, largest norms"
    heading = "Weights of each output" if is_linear else "First-layer weights"
    title = f"{heading} as images{which}"
    limit = float(np.quantile(np.abs(values[chosen]), _MOST_COLOURED)) or 1.0
    assert run.info.image_shape is not None
    channels, height, width = run.info.image_shape
    darkest, brightest = ("dark blue", "yellow") if channels == 1 else ("dark", "bright in the colour of its channel")
    alt = (
        f"{len(chosen)} images of {height} by {width} weights, from {-limit:.3g} "
        f"({darkest}) to {limit:.3g} ({brightest}); norms from {norms[chosen].min():.3g} to {norms[chosen].max():.3g}."
    )
    labels = shorten(run.info.class_names or [f"output {i}" for i in range(len(norms))]) if is_linear else None

    def draw() -> Figure:
        return _draw_weights(
            title, [_as_image(values[i], run) for i in chosen], limit, labels and [labels[i] for i in chosen]
        )

    return Sketch(title, alt, draw)


def _as_image(values: Floats, run: TrainedRun) -> Floats:
    """Return values in the order of the inputs as an image: (height, width), or (height, width, 3) for colours."""
    assert run.info.image_shape is not None
    image = values.reshape(run.info.image_shape)
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def _draw_weights(title: str, images: Sequence[Floats], limit: float, labels: Sequence[str] | None) -> Figure:
    columns = 5 if labels else 6 if len(images) > 16 else 4
    rows, height = -(-len(images) // columns), 1.28 if labels else 1.08
    figure, axes = new_axes(title, 1.12 * columns + 1.0, rows * height * 1.05 + 0.6)
    for i, image in enumerate(images):
        left, top = (i % columns) * 1.08, -(i // columns) * height
        tile = draw_tile(axes, image, left, top, -limit, limit, DIVERGING if image.ndim == 2 else "gray")
        if labels:
            axes.text(left, top + 0.03, labels[i], va="bottom", fontsize=9)
    axes.set(xlim=(-0.02, columns * 1.08 - 0.06), ylim=(-rows * height, 0.2 if labels else 0.02))
    bar = figure.colorbar(tile, ax=axes, shrink=0.6)
    label = "weight (dark: negative, bright: positive)"
    bar.set_label(label if rows > 1 else label.replace(" (", "\n(").replace(", ", ",\n"))
    return figure
