"""Reliability diagram: accuracy by confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcli.evaluation.calibration import measure_reliability
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.plots.style import COLOURS, MUTED, Floats, Ints, Sketch, new_figure, percent
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 20  # examples of a bin below which its accuracy is uncertain by about 0.2
_FAINT = 0.35  # opacity


def reliability(run: TrainedRun) -> Sketch | None:
    """Return the accuracy by confidence, on the diagonal for a calibrated model; None for regression."""
    if run.info.task != "classification":
        return None
    measured = measure_reliability(run.predictions, run.truth(run.split))
    counts, confidence, accuracy = (
        values.numpy() for values in (measured.counts, measured.confidence, measured.accuracy)
    )
    mean_confidence, mean_accuracy = (
        float(np.nansum(counts * values) / counts.sum()) for values in (confidence, accuracy)
    )
    title = (
        f"Reliability, {run.split_name}: ECE {measured.ece:.3f}, confidence {percent(mean_confidence)}, "
        f"accuracy {percent(mean_accuracy)}"
    )
    bins = [
        f"{n:,} examples with confidence {mean:.2f}, {percent(correct)} correct"
        for n, mean, correct in zip(counts, confidence, accuracy, strict=True)
        if n
    ]
    alt = (
        f"Reliability diagram of {run.split_name} in {len(counts)} bins; expected calibration error "
        f"{measured.ece:.4f}. {'; '.join(bins)}."
    )

    def draw() -> Figure:
        figure = new_figure(title, height=5.6)
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        _draw_accuracy(upper, counts, confidence, accuracy)
        _draw_counts(lower, counts)
        return figure

    return Sketch(title, alt, draw)


def _edges(bins: int) -> Floats:
    return np.arange(bins) / bins


def _draw_accuracy(axes: Axes, counts: Ints, confidence: Floats, accuracy: Floats) -> None:
    """Draw the accuracy of each bin with its 95 % interval; bins of few examples are faint."""
    width = 1 / len(accuracy)
    for left, n, mean, correct in zip(_edges(len(accuracy)), counts, confidence, accuracy, strict=True):
        if not n:
            continue
        alpha = 1.0 if n >= _FEW else _FAINT
        low, high = wilson_interval(round(correct * n), int(n))
        axes.bar(
            left,
            correct,
            width * 0.94,
            align="edge",
            color=COLOURS[4],
            edgecolor=COLOURS[0],
            linewidth=0.6,
            alpha=alpha,
        )
        axes.vlines(mean, low, high, color="black", linewidth=1, alpha=alpha)
        axes.plot(mean, correct, "o", color="black", markersize=5, alpha=alpha)
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    axes.set_title(f"Dots: accuracy with its 95 % interval; faint: fewer than {_FEW} examples", fontsize=9)
    axes.text(
        0.05,
        0.085,
        "accuracy = confidence",
        rotation=45,
        transform_rotates_text=True,
        color=MUTED,
        rotation_mode="anchor",
        fontsize=8,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy: fraction of correct predictions")


def _draw_counts(axes: Axes, counts: Ints) -> None:
    left, width = _edges(len(counts)), 1 / len(counts)
    bars = axes.bar(left, counts, width * 0.94, align="edge", color=MUTED)
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=7, padding=1)
    axes.margins(y=0.25)
    axes.set(xlabel="confidence: probability of the predicted class", ylabel="examples")
