"""The figure of a study: curves by epoch, and beside them what explains or confirms them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlcli.analysis.plots.style import COLOURS, LINES, MARKERS, MUTED, drawing, new_figure, render
from dlcli.analysis.studies.answers import gradient_means, movement_means
from dlcli.analysis.studies.results import StudyResults, Training, VariantResults
from dlcli.analysis.studies.wording import capitalize, count, name_curve, name_metric, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKED = 8  # markers along a curve
_GAP = 0.065  # of an axis's height between two labels


def draw_study(results: StudyResults) -> dict[str, bytes]:
    """Return the figure's files by name: `figure.png` and `figure.svg`."""
    with drawing():
        figure = _compose(results)
        return {"figure.png": render(figure, "png"), "figure.svg": render(figure, "svg")}


def _compose(results: StudyResults) -> Figure:
    figure = new_figure(10.0, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_curves(left, results)
    panels = {
        "seeds": _draw_seeds,
        "settings": _draw_settings,
        "seconds": _draw_seconds,
        "gradients": _draw_gradients,
        "moved": _draw_movement,
    }
    panels[results.study.panel](right, results)
    figure.suptitle(textwrap.fill(write_title(results), 92), x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(
        f"{results.data}; mean and standard deviation over {count(len(results.seeds), 'seed')}",
        x=0.01,
        ha="left",
        fontsize=8.5,
        color=MUTED,
    )
    return figure


class _Look:
    """How a variant is drawn: colour, line and marker differ, so that grey print tells it too."""

    def __init__(self, results: StudyResults, variant: VariantResults) -> None:
        number = results.variants.index(variant)
        self.colour, self.marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        self.line = LINES[number % len(LINES)]


def _draw_curves(axes: Axes, results: StudyResults) -> None:
    ends: list[tuple[VariantResults, float | None]] = []
    for variant in results.learned:
        curves = _whole_curves(variant.trainings)
        if not curves.size:
            ends.append((variant, None))
            continue
        _draw_band(axes, results, variant, np.arange(1, curves.shape[1] + 1), curves)
        if variant.epochs is not None:
            drop = (variant.epochs.mean, variant.epochs.mean), (0, results.level)
            axes.plot(*drop, color=_Look(results, variant).colour, linewidth=1, linestyle=":", zorder=0)
        ends.append((variant, float(curves[:, -1].mean())))
    if results.study.curve == "distance":
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1) if results.is_curve_rising else axes.set_ylim(bottom=0)
    axes.set_xlim(0, results.epochs * 1.01)
    axes.axhline(results.level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.text(0, results.level, f"{results.level:g} ", ha="right", va="center", color=MUTED, fontsize=8.5)
    axes.set(xlabel="epoch", title=capitalize(name_curve(results)))
    _label_ends(axes, results, ends)


def _whole_curves(trainings: Sequence[Training]) -> np.ndarray:
    """Return the curves of the trainings that did not diverge, shape (seeds, epochs)."""
    return np.array([one.curve for one in trainings if one.diverged is None])


def _draw_band(axes: Axes, results: StudyResults, variant: VariantResults, x: np.ndarray, curves: np.ndarray) -> None:
    look, mean = _Look(results, variant), curves.mean(0)
    sd = curves.std(0, ddof=1) if len(curves) > 1 else np.zeros_like(mean)
    axes.plot(
        x,
        mean,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markersize=4.5,
        markevery=max(1, len(x) // _MARKED),
        linewidth=1.6,
    )
    low = np.maximum(mean - sd, mean / 10) if results.study.curve == "distance" else mean - sd
    axes.fill_between(x, low, mean + sd, color=look.colour, alpha=0.18, linewidth=0)


def _label_ends(axes: Axes, results: StudyResults, ends: Sequence[tuple[VariantResults, float | None]]) -> None:
    """Write each variant's name where its curve ends, apart from one another; a curve that diverged has no end."""
    axes.figure.canvas.draw_idle()
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [0.0 if y is None else float(to_axes.transform((1, y))[1]) for _, y in ends]
    for (variant, y), height in zip(ends, spread_apart(heights, _GAP), strict=True):
        look = _Look(results, variant)
        text = f"{variant.label} ✕ diverged" if y is None else variant.label
        axes.text(
            1.03, height, text, transform=axes.transAxes, color=look.colour, va="center", fontsize=9, fontweight="bold"
        )


def spread_apart(positions: Sequence[float], gap: float) -> list[float]:
    """Return positions in 0..1 moved as little as needs be to lie at least `gap` apart, in the same order."""
    order = sorted(range(len(positions)), key=lambda i: (positions[i], -i))
    placed = [min(max(positions[i], 0.0), 1.0) for i in order]
    for _ in range(100):  # push neighbours apart until nothing moves
        for i in range(1, len(placed)):
            overlap = gap - (placed[i] - placed[i - 1])
            if overlap > 1e-9:
                placed[i - 1] -= overlap / 2
                placed[i] += overlap / 2
    shift = max(0.0, -placed[0]) if placed else 0.0
    moved = dict(zip(order, (one + shift for one in placed), strict=True))
    return [moved[i] for i in range(len(positions))]


def _draw_seeds(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric of every seed, those of one seed joined by a line."""
    x = np.arange(len(results.variants))
    table = np.array([[np.nan if t.test is None else t.test for t in one.trainings] for one in results.variants])
    axes.plot(x, table, color="#B0B0B0", linewidth=0.8, marker=".", markersize=4, zorder=1)
    for position, variant in zip(x, results.variants, strict=True):
        look, test = _Look(results, variant), variant.test
        if test is not None:
            axes.errorbar(
                position, test.mean, test.sd or 0, color=look.colour, marker=look.marker, capsize=4, markersize=7
            )
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_xticks(x, [textwrap.fill(one.label, 10) for one in results.variants])
    unit = f" ({results.unit})" if results.unit else ""
    axes.set_title(f"Test {name_metric(results)}{unit}; grey: one seed")


def _draw_settings(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric over the value that is varied."""
    variants = [
        (one, float(v.value)) for one, v in zip(results.variants, results.study.variants, strict=True) if v.value
    ]
    finished = [(value, one.test.mean) for one, value in variants if one.test is not None]
    axes.plot([value for value, _ in finished], [mean for _, mean in finished], color=MUTED, linewidth=1, zorder=0)
    for one, value in variants:
        look = _Look(results, one)
        if one.test is not None:
            axes.errorbar(value, one.test.mean, one.test.sd or 0, color=look.colour, marker=look.marker, capsize=4)
        if one.diverged:
            axes.plot(value, 0.02, marker="x", color=look.colour, markersize=9, transform=axes.get_xaxis_transform())
            text = f"{one.diverged} of {len(results.seeds)}\ndiverged"
            axes.text(
                value,
                0.05,
                text,
                ha="center",
                va="bottom",
                color=look.colour,
                fontsize=8.5,
                transform=axes.get_xaxis_transform(),
            )
    axes.set_xscale("log")
    axes.margins(x=0.12)
    if results.is_higher_better:
        axes.set_ylim(0, 1)
    axes.set(xlabel="learning rate α", title=f"Test {name_metric(results)}")


def _draw_seconds(axes: Axes, results: StudyResults) -> None:
    """Draw the curves again, over the time they take."""
    for variant in results.learned:
        curves = _whole_curves(variant.trainings)
        if curves.size:
            seconds = np.array([one.seconds for one in variant.trainings if one.diverged is None]).mean(0)
            _draw_band(axes, results, variant, seconds, curves)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.axhline(results.level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.set(xlabel="seconds of training and validation on this machine", title="The same, by time")


def _draw_gradients(axes: Axes, results: StudyResults) -> None:
    """Draw the norm of each layer's gradient before the first step."""
    for variant in results.variants:
        look, norms = _Look(results, variant), np.array(gradient_means(variant))
        layers = np.arange(1, len(norms) + 1)
        positive = norms > 0
        axes.plot(layers[positive], norms[positive], color=look.colour, linestyle=look.line, marker=look.marker)
        if positive.any():
            axes.annotate(
                variant.label,
                (layers[-1], norms[-1]),
                xytext=(7, -3),
                textcoords="offset points",
                color=look.colour,
                fontsize=9,
                fontweight="bold",
            )
    axes.set_yscale("log")
    axes.margins(x=0.16)
    axes.set_xticks(range(1, max(len(one.hidden_sizes) for one in results.variants) + 2))
    axes.set(xlabel="layer, from the input to the output", title="Norm of the gradient before the first step")


def _draw_movement(axes: Axes, results: StudyResults) -> None:
    """Draw how far the weights of each layer moved."""
    width = 0.8 / len(results.variants)
    layers = np.arange(1, len(results.reference.hidden_sizes) + 2)
    for number, variant in enumerate(results.variants):
        look = _Look(results, variant)
        moved = [100 * (one or 0.0) for one in movement_means(variant)]
        if not moved:
            continue
        x = layers + (number - (len(results.variants) - 1) / 2) * width
        axes.bar(x, moved, width * 0.9, color=look.colour, hatch="//" if number % 2 else None, edgecolor="white")
        for position, height in zip(x, moved, strict=True):
            text = "0" if height == 0 else f"{height:.0f} %"
            axes.text(position, height, text, ha="center", va="bottom", color=look.colour, fontsize=9)
    axes.set_xticks(layers, [*(f"hidden {i}" for i in layers[:-1]), "last"])
    axes.set_title("Movement of the weights, % of their first size")
