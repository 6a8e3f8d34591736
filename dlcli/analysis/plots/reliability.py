"""Whether a probability means what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcli.analysis.plots.counts import Reliability, measure_reliability
from dlcli.analysis.plots.style import COLOURS, MUTED, Sketch, new_figure, percent
from dlcli.analysis.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def reliability(run: TrainedRun) -> Sketch | None:
    """Accuracy by the highest probability: on the diagonal where the model is as often right as it says."""
    if run.info.task != "classification":
        return None
    measured = measure_reliability(run.predictions.numpy(), run.truth(run.split).numpy())
    says, is_right = (
        float(np.nansum(measured.counts * one) / measured.counts.sum())
        for one in (measured.confidence, measured.accuracy)
    )
    title = f"Reliability, {run.split_name}: says {percent(says)}, is right {percent(is_right)}; ECE {measured.ece:.3f}"
    bins = [
        f"{count:,} examples of confidence {confidence:.2f}, {percent(accuracy)} right"
        for count, confidence, accuracy in zip(measured.counts, measured.confidence, measured.accuracy, strict=True)
        if count
    ]
    alt = (
        f"Reliability diagram of {run.split_name} in {len(measured.counts)} bins; expected calibration error "
        f"{measured.ece:.4f}. {'; '.join(bins)}."
    )

    def draw() -> Figure:
        figure = new_figure(title, height=5.6)
        upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        _draw_accuracy(upper, measured)
        _draw_counts(lower, measured)
        return figure

    return Sketch(title, alt, draw)


def _edges(measured: Reliability) -> np.ndarray:
    return np.arange(len(measured.counts)) / len(measured.counts)


def _draw_accuracy(axes: Axes, measured: Reliability) -> None:
    left, width = _edges(measured), 1 / len(measured.counts)
    accuracy = np.nan_to_num(measured.accuracy)
    axes.bar(left, accuracy, width * 0.94, align="edge", color=COLOURS[4], edgecolor=COLOURS[0], linewidth=0.6)
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    seen = measured.counts > 0
    axes.vlines(measured.confidence[seen], measured.accuracy[seen], measured.confidence[seen], color="black")
    axes.plot(measured.confidence[seen], measured.accuracy[seen], "o", color="black", markersize=5)
    axes.text(0.03, 0.93, "● accuracy at the mean probability\n| gap to it, whose mean is the ECE", va="top")
    axes.text(
        0.05,
        0.085,
        "as often right as it says",
        rotation=45,
        transform_rotates_text=True,
        color=MUTED,
        rotation_mode="anchor",
        fontsize=8,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy: share of right predictions")


def _draw_counts(axes: Axes, measured: Reliability) -> None:
    left, width = _edges(measured), 1 / len(measured.counts)
    bars = axes.bar(left, measured.counts, width * 0.94, align="edge", color=MUTED)
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in measured.counts], fontsize=7, padding=1)
    axes.margins(y=0.25)
    axes.set(xlabel="confidence: probability of the predicted class", ylabel="examples")
