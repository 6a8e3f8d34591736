"""Second panels of a study's figure: test results, times, gradients or weights of the variants."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlcli.config.render import name_setting
from dlcli.lecture.studies.answers import gradient_means, movement_means
from dlcli.lecture.studies.curves import (
    NAME,
    Look,
    draw_band,
    finished_curves,
    finished_seconds,
    label_decimals,
    scale_curve,
)
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.sentences import (
    format_number,
    name_metric,
)
from dlcli.plots.style import (
    MUTED,
    SEQUENTIAL,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 20  # ratio of the largest to the smallest value from which an axis is logarithmic
_TICK_LETTERS, _WIDEST_TICK = 40, 14  # letters that fit side by side below a panel; most letters per line of a name
_LONGEST_TICK = 24  # maximum number of letters of a tilted name
_LEAST_GAP = 0.04  # minimum distance between two values on a linear axis, as a fraction of the range of values
_SINGLE_SEED = "#A0A0A0"


def draw_seeds(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric of every seed; with two variants, a line connects the values of each seed."""
    x = np.arange(len(results.variants))
    table = np.array(
        [[np.nan if t.test is None else t.test for t in variant.trainings] for variant in results.variants]
    )
    axes.plot(x, table, color=_SINGLE_SEED, linewidth=0.9 if len(x) == 2 else 0, marker=".", markersize=5, zorder=1)
    for position, variant in zip(x, results.variants, strict=True):
        look, test = Look(results, variant), variant.test
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
    _name_positions(axes, [variant.label for variant in results.variants])
    unit = f" ({results.unit})" if results.unit else ""
    axes.set_title(f"Test {name_metric(results)}{unit}; grey: single seeds")


def _name_positions(axes: Axes, names: Sequence[str]) -> None:
    """Write names below the positions 0, 1, …, in several lines, or tilted if they do not fit side by side."""
    room = min(_WIDEST_TICK, _TICK_LETTERS // len(names))
    lines = [textwrap.fill(name, room, break_long_words=False) for name in names]
    if max(len(line) for text in lines for line in text.split("\n")) <= room:
        axes.set_xticks(range(len(names)), lines)
    else:
        axes.set_xticks(
            range(len(names)), shorten(names, _LONGEST_TICK), rotation=30, ha="right", rotation_mode="anchor"
        )


def draw_settings(axes: Axes, results: StudyResults) -> None:
    """Draw the test metric over the varied value."""
    pairs = zip(results.variants, results.study.variants, strict=True)
    variants = [(variant, design.value) for variant, design in pairs if design.value is not None]
    values = [value for _, value in variants]
    is_log = min(values) > 0 and max(values) >= _WIDE * min(values)
    if is_crowded := not is_log and min(np.diff(sorted(values))) < _LEAST_GAP * (max(values) - min(values)):
        variants = [(variant, float(sorted(values).index(value))) for variant, value in variants]  # in equal distances
    finished = [(value, variant.test.mean) for variant, value in variants if variant.test is not None]
    axes.plot([value for value, _ in finished], [mean for _, mean in finished], color=MUTED, linewidth=1, zorder=0)
    bottom = axes.get_xaxis_transform()
    for variant, value in variants:
        look = Look(results, variant)
        if variant.test is not None:
            axes.errorbar(
                value, variant.test.mean, variant.test.sd or 0, color=look.colour, marker=look.marker, capsize=4
            )
        if variant.diverged:
            axes.plot(value, 0.02, marker="x", color=look.colour, markersize=8, transform=bottom, clip_on=False)
            text = f"{variant.diverged} of {len(results.seeds)}\ndiverge"
            height = 0.05 if variant.test is None else 0.16
            axes.text(value, height, text, ha="center", color=look.colour, fontsize=8.5, transform=bottom)
    if is_log:
        axes.set_xscale("log")
        label_decimals(axes.xaxis)
    if is_crowded:
        _name_positions(axes, [f"{value:g}" for value in sorted(values)])
    else:
        axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.margins(x=0.1)
    if results.is_higher_better and results.level is not None:
        axes.set_ylim(0, 1)
    (key,) = results.study.varied
    axes.set(xlabel="learning rate α" if key == "optimizer.lr" else key, title=f"Test {name_metric(results)}")


def draw_grid(axes: Axes, results: StudyResults) -> None:
    """Draw the mean test metric of two settings as a table with coloured cells."""
    rows, columns = results.study.grid
    means = np.array([np.nan if variant.test is None else variant.test.mean for variant in results.variants])
    table = means.reshape(len(rows), len(columns))
    axes.imshow(table, cmap=SEQUENTIAL if results.is_higher_better else f"{SEQUENTIAL}_r", aspect="auto", alpha=0.5)
    for (row, column), value in np.ndenumerate(table):
        text = "diverges" if np.isnan(value) else format_number(value, float(np.nanmax(np.abs(table))))
        axes.text(column, row, text, ha="center", va="center", fontsize=10)
    _name_positions(axes, columns)
    axes.set_yticks(range(len(rows)), shorten(rows, _LONGEST_TICK))
    vertical, horizontal = map(name_setting, results.study.varied)
    axes.set(xlabel=horizontal, ylabel=vertical)
    axes.set_title(f"Test {name_metric(results)}, mean")


def draw_seconds(axes: Axes, results: StudyResults) -> None:
    """Draw the curves over training time."""
    for variant in results.learned:
        curves = finished_curves(variant)
        if curves.size:
            draw_band(axes, results, variant, finished_seconds(variant).mean(0), curves)
    axes.set_xscale("log")
    label_decimals(axes.xaxis)
    scale_curve(axes, results)
    axes.set(xlabel="seconds on this machine, including validation", title="The same curves over time")


def draw_gradients(axes: Axes, results: StudyResults) -> None:
    """Draw each layer's gradient norm before the first step."""
    for variant in results.variants:
        look, norms = Look(results, variant), np.array(gradient_means(variant))
        layers = np.arange(1, len(norms) + 1)[norms > 0]
        norms = norms[norms > 0]
        axes.plot(layers, norms, color=look.colour, linestyle=look.line, marker=look.marker)
        if norms.size:
            axes.text(layers[0] - 0.25, norms[0], variant.label, color=look.colour, ha="right", **NAME)
    deepest = max(len(variant.hidden_sizes) for variant in results.variants) + 1
    axes.set_yscale("log")
    label_decimals(axes.yaxis)
    axes.set_xlim(-0.22 * deepest, deepest + 0.4)
    axes.set_xticks(range(1, deepest + 1))
    axes.set(xlabel="layer, from the input to the output", title="Gradient norm before the first step")


def draw_movement(axes: Axes, results: StudyResults) -> None:
    """Draw the relative change of each layer's weights."""
    width = 0.8 / len(results.variants)
    layers = np.arange(1, len(results.reference.hidden_sizes) + 2)
    for number, variant in enumerate(results.variants):
        look = Look(results, variant)
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
