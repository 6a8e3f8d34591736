"""Figure of a study: curves by epoch, and a second panel beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcli.lecture.studies.answers import gradient_means, movement_means
from dlcli.lecture.studies.results import StudyResults, VariantResults
from dlcli.lecture.studies.sentences import (
    FEW_SEEDS,
    capitalize,
    count,
    format_number,
    name_curve,
    name_metric,
    write_title,
)
from dlcli.plots.placing import spread_apart
from dlcli.plots.style import (
    COLOURS,
    DPI,
    LINES,
    MUTED,
    SEQUENTIAL,
    add_footer,
    class_style,
    drawing,
    new_figure,
    render,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_WIDE = 20  # ratio of the largest to the smallest value from which an axis is logarithmic
_MARKED = 8  # markers along a curve
_GAP = 0.065  # minimum distance between two names, as a fraction of the height of the axes
_SINGLE_SEED = "#A0A0A0"
_NAME: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "va": "center"}


def draw_study(results: StudyResults, dpi: int = DPI) -> dict[str, bytes]:
    """Draw a study and return its files by name: `figure.png` and `figure.svg`."""
    with drawing():
        figure = _compose(results)
        return {"figure.png": render(figure, "png", dpi), "figure.svg": render(figure, "svg", dpi)}


def _compose(results: StudyResults) -> Figure:
    figure = new_figure(write_title(results), 10.0, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _draw_curves(left, results)
    panels = {
        "seeds": _draw_seeds,
        "settings": _draw_settings,
        "grid": _draw_grid,
        "seconds": _draw_seconds,
        "gradients": _draw_gradients,
        "moved": _draw_movement,
    }
    panels[results.study.panel](right, results)
    mean = "geometric mean and standard deviation" if results.study.curve == "distance" else "mean ± standard deviation"
    note = f"{mean} over {count(len(results.seeds), 'seed')} · study {results.study.name}"
    add_footer(figure, [variant.setup for variant in results.learned], note)
    return figure


class _Look:
    """Colour, line and marker of a variant; all three differ, to be distinguishable in greyscale."""

    def __init__(self, results: StudyResults, variant: VariantResults) -> None:
        number = results.variants.index(variant)
        self.colour, self.marker = class_style(number)
        self.line = LINES[(number + number // len(COLOURS)) % len(LINES)]


def _draw_curves(axes: Axes, results: StudyResults) -> None:
    ends: list[float | None] = []
    for variant in results.learned:
        curves = _finished_curves(variant)
        if not curves.size:
            ends.append(None)
            continue
        mean = _draw_band(axes, results, variant, np.arange(1, curves.shape[1] + 1), curves)
        ends.append(float(mean[-1]))
        if results.level is not None and variant.epochs is not None and variant.epochs.n == len(results.seeds):
            epoch, colour = variant.epochs.mean, _Look(results, variant).colour  # mark the epoch that reaches the level
            axes.plot([epoch, epoch], [0, results.level], color=colour, linewidth=1, linestyle=":", zorder=0)
    _scale_curve(axes, results)
    axes.set_xlim(0, results.epochs * 1.01)
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", title=capitalize(name_curve(results)))
    _name_ends(axes, results, ends)


def _finished_curves(variant: VariantResults) -> np.ndarray:
    """Return the curves of the seeds that did not diverge, of shape (seeds, epochs)."""
    return np.array([training.curve for training in variant.trainings if training.diverged is None])


def _draw_band(
    axes: Axes, results: StudyResults, variant: VariantResults, x: np.ndarray, curves: np.ndarray
) -> np.ndarray:
    """Draw the mean over the seeds, of logarithms on a logarithmic axis, and return it.

    A band shows the standard deviation; with few seeds, whose standard deviation is uncertain, thin lines show each.
    """
    look, is_log = _Look(results, variant), results.study.curve == "distance"
    values = np.log(np.maximum(curves, 1e-12)) if is_log else curves
    sd = values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
    mean, low, high = (
        np.exp(line) if is_log else line for line in (values.mean(0), values.mean(0) - sd, values.mean(0) + sd)
    )
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
    if len(curves) < FEW_SEEDS:
        axes.plot(x, curves.T, color=look.colour, linestyle=look.line, linewidth=0.5, alpha=0.6)
    else:
        axes.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0)
    return np.asarray(mean)


def _scale_curve(axes: Axes, results: StudyResults) -> None:
    """Set the scale of the axis and mark the level."""
    if results.study.curve == "distance":
        axes.set_yscale("log")
        _label_decimals(axes.yaxis)
    elif results.is_higher_better and results.level is not None:
        axes.set_ylim(0, 1)
    if results.level is None:
        return
    axes.axhline(results.level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.annotate(
        f"{results.level:g}",
        (1, results.level),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        color=MUTED,
        fontsize=8.5,
    )


def _label_decimals(axis: Axis) -> None:
    """Label a logarithmic axis with 0.01, 0.1, 1: math text is switched off in `style`."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _name_ends(axes: Axes, results: StudyResults, ends: Sequence[float | None]) -> None:
    """Write each variant's name where its curve ends, or at the bottom if every seed diverged."""
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [0.0 if y is None else float(to_axes.transform((1, y))[1]) for y in ends]
    for variant, y, height in zip(results.learned, ends, spread_apart(heights, _GAP), strict=True):
        look = _Look(results, variant)
        axes.plot(
            1.03,
            height,
            color=look.colour,
            marker="x" if y is None else look.marker,
            markersize=5,
            transform=axes.transAxes,
            clip_on=False,
        )
        text = f"{variant.label}: diverges" if y is None else variant.label
        axes.text(1.055, height, text, transform=axes.transAxes, color=look.colour, **_NAME)


def _draw_seeds(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric of every seed; with two variants, a line connects the values of each seed."""
    x = np.arange(len(results.variants))
    table = np.array(
        [[np.nan if t.test is None else t.test for t in variant.trainings] for variant in results.variants]
    )
    axes.plot(x, table, color=_SINGLE_SEED, linewidth=0.9 if len(x) == 2 else 0, marker=".", markersize=5, zorder=1)
    for position, variant in zip(x, results.variants, strict=True):
        look, test = _Look(results, variant), variant.test
        if test is not None:
            axes.errorbar(
                position + (0 if len(x) == 2 else 0.15),
                test.mean,
                test.sd or 0,
                color=look.colour,
                marker=look.marker,
                capsize=4,
                markersize=6,
            )
    axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_xticks(x, [textwrap.fill(variant.label, 10) for variant in results.variants])
    unit = f" ({results.unit})" if results.unit else ""
    axes.set_title(f"Test {name_metric(results)}{unit}; grey: single seeds")


def _draw_settings(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric over the varied value."""
    pairs = zip(results.variants, results.study.variants, strict=True)
    variants = [(variant, design.value) for variant, design in pairs if design.value is not None]
    finished = [(value, variant.test.mean) for variant, value in variants if variant.test is not None]
    axes.plot([value for value, _ in finished], [mean for _, mean in finished], color=MUTED, linewidth=1, zorder=0)
    bottom = axes.get_xaxis_transform()
    for variant, value in variants:
        look = _Look(results, variant)
        if variant.test is not None:
            axes.errorbar(
                value, variant.test.mean, variant.test.sd or 0, color=look.colour, marker=look.marker, capsize=4
            )
        if variant.diverged:
            axes.plot(value, 0.02, marker="x", color=look.colour, markersize=8, transform=bottom, clip_on=False)
            text = f"{variant.diverged} of {len(results.seeds)}\ndiverge"
            height = 0.05 if variant.test is None else 0.16
            axes.text(value, height, text, ha="center", color=look.colour, fontsize=8.5, transform=bottom)
    values = [value for _, value in variants]
    if min(values) > 0 and max(values) >= _WIDE * min(values):
        axes.set_xscale("log")
        _label_decimals(axes.xaxis)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.margins(x=0.1)
    if results.is_higher_better and results.level is not None:
        axes.set_ylim(0, 1)
    (key,) = results.study.varied
    axes.set(xlabel="learning rate α" if key == "optimizer.lr" else key, title=f"Test {name_metric(results)}")


def _draw_grid(axes: Axes, results: StudyResults) -> None:
    """Draw the mean test metric of two settings as a table with coloured cells."""
    rows, columns = results.study.grid
    means = np.array([np.nan if variant.test is None else variant.test.mean for variant in results.variants])
    table = means.reshape(len(rows), len(columns))
    axes.imshow(table, cmap=SEQUENTIAL if results.is_higher_better else f"{SEQUENTIAL}_r", aspect="auto", alpha=0.5)
    for (row, column), value in np.ndenumerate(table):
        text = "diverges" if np.isnan(value) else format_number(value, float(np.nanmax(np.abs(table))))
        axes.text(column, row, text, ha="center", va="center", fontsize=10)
    axes.set_xticks(range(len(columns)), [textwrap.fill(name, 10) for name in columns])
    axes.set_yticks(range(len(rows)), [textwrap.fill(name, 12) for name in rows])
    axes.set_title(f"Test {name_metric(results)}, mean")


def _draw_seconds(axes: Axes, results: StudyResults) -> None:
    """Draw the curves over training time."""
    for variant in results.learned:
        curves = _finished_curves(variant)
        if curves.size:
            seconds = np.array([training.seconds for training in variant.trainings if training.diverged is None]).mean(
                0
            )
            _draw_band(axes, results, variant, seconds, curves)
    axes.set_xscale("log")
    _label_decimals(axes.xaxis)
    _scale_curve(axes, results)
    axes.set(xlabel="seconds on this machine, including validation", title="The same curves over time")


def _draw_gradients(axes: Axes, results: StudyResults) -> None:
    """Draw each layer's gradient norm before the first step."""
    for variant in results.variants:
        look, norms = _Look(results, variant), np.array(gradient_means(variant))
        layers = np.arange(1, len(norms) + 1)[norms > 0]
        norms = norms[norms > 0]
        axes.plot(layers, norms, color=look.colour, linestyle=look.line, marker=look.marker)
        if norms.size:
            axes.text(layers[0] - 0.25, norms[0], variant.label, color=look.colour, ha="right", **_NAME)
    deepest = max(len(variant.hidden_sizes) for variant in results.variants) + 1
    axes.set_yscale("log")
    _label_decimals(axes.yaxis)
    axes.set_xlim(-0.22 * deepest, deepest + 0.4)
    axes.set_xticks(range(1, deepest + 1))
    axes.set(xlabel="layer, from the input to the output", title="Gradient norm before the first step")


def _draw_movement(axes: Axes, results: StudyResults) -> None:
    """Draw the relative change of each layer's weights."""
    width = 0.8 / len(results.variants)
    layers = np.arange(1, len(results.reference.hidden_sizes) + 2)
    for number, variant in enumerate(results.variants):
        look = _Look(results, variant)
        moved = [100 * (change or 0.0) for change in movement_means(variant)]
        if not moved:
            continue
        x = layers + (number - (len(results.variants) - 1) / 2) * width
        axes.bar(x, moved, width * 0.9, color=look.colour, hatch="//" if number % 2 else None, edgecolor="white")
        for position, height in zip(x, moved, strict=True):
            text = "0" if height == 0 else f"{height:.0f} %"
            axes.text(position, height, text, ha="center", va="bottom", color=look.colour, fontsize=9)
    axes.set_xticks(layers, [*(f"hidden {i}" for i in layers[:-1]), "last"])
    axes.set_title("Change of the weights, in % of their initial norm")
