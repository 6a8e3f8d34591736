"""Curves of a study's variants by epoch, with their spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcli.config.render import name_setting
from dlcli.lecture.studies.results import StudyResults, VariantResults
from dlcli.lecture.studies.sentences import (
    FEW_SEEDS,
    capitalize,
    name_curve,
)
from dlcli.lecture.studies.study import GAP
from dlcli.plots.placing import spread_apart
from dlcli.plots.style import (
    COLOURS,
    LINES,
    MUTED,
    class_style,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_MARKED = 8  # markers along a curve
_NAME_LETTERS = 36  # maximum number of letters of a name
_GAP = 0.065  # minimum distance between two names, as a fraction of the height of the axes
NAME: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "va": "center"}


class Look:
    """Colour, line and marker of a variant; all three differ, to be distinguishable in greyscale."""

    def __init__(self, results: StudyResults, variant: VariantResults) -> None:
        number = results.variants.index(variant)
        self.colour, self.marker = class_style(number)
        self.line = LINES[(number + number // len(COLOURS)) % len(LINES)]


def draw_curves(axes: Axes, results: StudyResults) -> None:
    """Draw the curve of each variant, with the variant's name at the end of the curve."""
    ends: list[float | None] = []
    for variant in results.learned:
        curves = finished_curves(variant)
        if not curves.size:
            ends.append(None)
            continue
        mean = draw_band(axes, results, variant, np.arange(1, curves.shape[1] + 1), curves)
        ends.append(float(mean[-1]))
        if results.level is not None and variant.epochs is not None and variant.epochs.n == len(results.seeds):
            epoch, colour = variant.epochs.mean, Look(results, variant).colour  # mark the epoch that reaches the level
            axes.plot([epoch, epoch], [0, results.level], color=colour, linewidth=1, linestyle=":", zorder=0)
    scale_curve(axes, results)
    axes.set_xlim(0, results.epochs * 1.01)
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", title=capitalize(name_curve(results)))
    _name_ends(axes, results, ends)


def finished_curves(variant: VariantResults) -> np.ndarray:
    """Return the curves of the seeds that did not diverge, of shape (seeds, epochs)."""
    return hold_last([training.curve for training in variant.trainings if training.diverged is None])


def finished_seconds(variant: VariantResults) -> np.ndarray:
    """Return the times of the seeds that did not diverge, of shape (seeds, epochs)."""
    return hold_last([training.seconds for training in variant.trainings if training.diverged is None])


def hold_last(sequences: Sequence[Sequence[float]]) -> np.ndarray:
    """Return sequences as the rows of an array; rows shortened by early stopping repeat their last value."""
    longest = max(map(len, sequences), default=0)
    return np.array([[*values, *[values[-1]] * (longest - len(values))] for values in sequences])


def draw_band(
    axes: Axes, results: StudyResults, variant: VariantResults, x: np.ndarray, curves: np.ndarray
) -> np.ndarray:
    """Draw the mean over the seeds, or the geometric mean on a logarithmic axis, and return it.

    A band shows the standard deviation. With few seeds, the standard deviation is uncertain, so thin lines show the
    single seeds instead.
    """
    look, is_log = Look(results, variant), results.study.curve == "distance"
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


def scale_curve(axes: Axes, results: StudyResults) -> None:
    """Set the scale of the axis and mark the level."""
    if results.study.curve == "distance":
        axes.set_yscale("log")
        label_decimals(axes.yaxis)
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


def label_decimals(axis: Axis) -> None:
    """Label a logarithmic axis with 0.01, 0.1, 1 instead of powers of ten: `style` switches math text off."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _name_ends(axes: Axes, results: StudyResults, ends: Sequence[float | None]) -> None:
    """Write each variant's name where its curve ends, or at the bottom if every seed diverged.

    In a study of two settings, each name consists of two values, and the names of the settings are above the list.
    """
    study = results.study
    shorts = {variant.label: variant.short for variant in study.variants}
    if study.panel == "grid":
        heading = GAP.join(map(name_setting, study.varied))
        axes.text(1.03, 1.06, heading, transform=axes.transAxes, color=MUTED, fontsize=9)
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [0.0 if y is None else float(to_axes.transform((1, y))[1]) for y in ends]
    for variant, y, height in zip(results.learned, ends, spread_apart(heights, _GAP), strict=True):
        look = Look(results, variant)
        axes.plot(
            1.03,
            height,
            color=look.colour,
            marker="x" if y is None else look.marker,
            markersize=5,
            transform=axes.transAxes,
            clip_on=False,
        )
        name = shorts[variant.label] or variant.label
        (text,) = shorten([f"{name}: diverges" if y is None else name], _NAME_LETTERS)
        axes.text(1.055, height, text, transform=axes.transAxes, color=look.colour, **NAME)
