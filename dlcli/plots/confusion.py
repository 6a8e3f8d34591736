"""Confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlcli.evaluation.classification import count_confusion
from dlcli.plots.style import SEQUENTIAL, Ints, Sketch, new_axes, percent, shorten
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 20  # maximum number of classes with counts in the cells
_NAMED = 40  # maximum number of classes that are all named on the axes
_FEW, _WIDE_CELL, _CELL = 5, 0.8, 0.47  # cells of up to 5 classes are 0.8 inches wide, others 0.47


def run_counts(run: TrainedRun) -> Ints:
    """Return the confusion counts of the run's split: rows are true classes, columns predicted classes."""
    counts: Ints = count_confusion(run.truth(run.split), run.predictions.argmax(1), run.info.out_features).numpy()
    return counts


def confusion(run: TrainedRun) -> Sketch | None:
    """Return the confusion counts, coloured by P(predicted | true); None for regression."""
    if run.info.task != "classification":
        return None
    counts = run_counts(run)
    n, correct = int(counts.sum()), int(counts.trace())
    title = f"Confusion matrix, {run.split_name}: {correct:,} of {n:,} correct ({percent(correct / n)})"
    alt = (
        f"Matrix of {len(counts)} true by {len(counts)} predicted classes of {run.split_name}; {correct:,} of {n:,} "
        f"are on the diagonal. {_most_frequent(counts, shorten(run.info.class_names, 40))}"
    )

    def draw() -> Figure:
        k = len(counts)
        cell = _WIDE_CELL if k <= _FEW else _CELL
        side = cell * k + 1.6 if k <= _NUMBERED else 7.0
        figure, axes = new_axes(title, width=max(4.8, side + 0.9), height=max(3.6, side))
        image = axes.imshow(_row_fractions(counts), cmap=SEQUENTIAL, vmin=0, vmax=1)
        if k <= _NUMBERED:
            _write_counts(axes, counts)
        _name_classes(axes, run.info.class_names)
        figure.colorbar(image, label="P(predicted | true)", shrink=0.8)
        return figure

    return Sketch(title, alt, draw)


def _row_fractions(counts: Ints) -> np.ndarray:
    """Return P(predicted | true); NaN, drawn without colour, for a class without examples."""
    totals = counts.sum(1, keepdims=True)
    return counts / np.where(totals == 0, np.nan, totals)


def _write_counts(axes: Axes, counts: Ints) -> None:
    fractions = _row_fractions(counts)
    for row, column in np.argwhere(counts > 0):
        colour = "white" if fractions[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=8, color=colour)


def _name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    k = len(class_names)
    names, shown = shorten(class_names), range(0, k, -(-k // _NAMED))
    size = 9 if k <= _NUMBERED else 7
    is_long = max(map(len, names)) > (10 if k <= _FEW else 3)
    axes.set_xticks(shown, [names[i] for i in shown], fontsize=size)
    if is_long:
        for label in axes.get_xticklabels():
            label.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    axes.set_yticks(shown, [names[i] for i in shown], fontsize=size)
    axes.tick_params(length=0 if k <= _NUMBERED else 2)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(True)


def _most_frequent(counts: Ints, names: Sequence[str]) -> str:
    """Return a sentence that lists the three most frequent confusions."""
    wrong = counts - np.diag(counts.diagonal())
    order = [divmod(int(flat), len(counts)) for flat in np.argsort(-wrong, axis=None, kind="stable")[:3]]
    worst = [f"{names[i]} predicted as {names[j]}, {wrong[i, j]:,} times" for i, j in order if wrong[i, j]]
    return f"Most frequent errors: {'; '.join(worst)}." if worst else "All examples are classified correctly."
