"""Class by class: how good the model is, and how many examples there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from dlcli.evaluation.classification import per_class_metrics
from dlcli.plots.confusion import run_counts
from dlcli.plots.style import COLOURS, HATCHES, MUTED, Sketch, new_axes, percent, shortened
from dlcli.runs.trained_run import SplitName, TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_MOST = 20  # classes of one picture
_BAR = 0.27  # height of one of three; the rest is the distance to the next class
_FILLS = (COLOURS[0], "white", COLOURS[4])  # with HATCHES: full, hatched, pale with dots


def per_class(run: TrainedRun) -> Sketch | None:
    """Precision, recall and F1 of each class."""
    if run.info.task != "classification":
        return None
    names = shortened(run.info.class_names, 24)
    figures = list(per_class_metrics(torch.from_numpy(run_counts(run)), range(len(names))).values())  # type: ignore[arg-type]
    f1 = [_number(one["f1"]) for one in figures]
    order = sorted(range(len(names)), key=lambda i: np.nan_to_num(f1[i], nan=np.inf))
    shown = sorted(order[:_MOST])
    worst = order[0]
    which = "" if len(names) <= _MOST else f", the {_MOST} lowest F1 of {len(names)} classes"
    title = f"Class by class, {run.split_name}: lowest F1 {f1[worst]:.3f}, {names[worst]}{which}"
    lines = [
        f"{names[i]} {_text(figures[i]['precision'])}, {_text(figures[i]['recall'])}, {_text(figures[i]['f1'])}"
        for i in shown
    ]
    alt = f"Precision, recall and F1 of {len(shown)} classes of {run.split_name}: {'; '.join(lines)}."

    def draw() -> Figure:
        groups = {
            heading: [_number(figures[i][key]) for i in shown]
            for heading, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1"))
        }
        figure, axes = new_axes(title, height=1.4 + 0.42 * len(shown))
        _draw_groups(axes, [names[i] for i in shown], groups)
        axes.set_xlim(0, 1)
        axes.set_xlabel(
            "precision: P(right | predicted so) · recall: P(right | is so)\nF1: their harmonic mean", fontsize=8
        )
        for y, i in enumerate(shown):
            _explain_missing(axes, y, figures[i])
        return figure

    return Sketch(title, alt, draw)


def _explain_missing(axes: Axes, y: int, figures: Mapping[str, float | int | None]) -> None:
    missing = [("precision", "never predicted"), ("recall", "not in the split")]
    words = [text for key, text in missing if figures[key] is None]
    if words:
        axes.text(0.01, y, ", ".join(words), verticalalignment="center", color=MUTED, fontsize=8)
    elif figures["f1"] is not None:
        f1 = float(figures["f1"])
        axes.annotate(
            f"{f1:.3f}",
            (f1, y + _BAR),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            annotation_clip=False,
        )


def distribution(run: TrainedRun) -> Sketch | None:
    """Share of each class in train, val and test."""
    if run.info.task != "classification":
        return None
    k, names = run.info.out_features, shortened(run.info.class_names, 24)
    shares = {name: _shares(run, name, k) for name in _SPLITS}
    train = shares["train"]
    high, low = int(train.argmax()), int(train.argmin())
    order = sorted(sorted(range(k), key=lambda i: -train[i])[:_MOST])
    which = "" if k <= _MOST else f" (the {_MOST} largest of {k})"
    if train[high] - train[low] < 0.005:
        title = f"Classes: all {k} about as frequent, {percent(1 / k)} each{which}"
    else:
        title = f"Classes: {names[high]} is {percent(train[high])} of train, {names[low]} {percent(train[low])}{which}"
    lines = [f"{names[i]} {', '.join(percent(one[i]) for one in shares.values())}" for i in order]
    alt = f"Share of each class in train, val and test: {'; '.join(lines)}."

    def draw() -> Figure:
        figure, axes = new_axes(title, height=1.4 + 0.42 * len(order))
        sizes = {name: f"{name} ({len(run.examples(name)):,})" for name in _SPLITS}
        _draw_groups(axes, [names[i] for i in order], {sizes[name]: shares[name][order] for name in _SPLITS})
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.set_xlabel("P(class): share of the split's examples")
        return figure

    return Sketch(title, alt, draw)


def _shares(run: TrainedRun, name: SplitName, k: int) -> np.ndarray:
    labels = run.truth(run.examples(name)).numpy()
    return np.bincount(labels, minlength=k) / max(1, len(labels))


def _draw_groups(axes: Axes, names: Sequence[str], groups: Mapping[str, Sequence[float] | np.ndarray]) -> None:
    """Draw three bars for each name, the first name at the top, and what they are above all."""
    y = np.arange(len(names))
    for i, (heading, widths) in enumerate(groups.items()):
        axes.barh(
            y + (i - 1) * _BAR,
            np.nan_to_num(np.asarray(widths, dtype=float)),
            _BAR * 0.92,
            label=heading,
            color=_FILLS[i],
            hatch=HATCHES[i],
            edgecolor=COLOURS[0],
            linewidth=0.6,
        )
    axes.set_yticks(y, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)


def _number(value: float | int | None) -> float:
    return np.nan if value is None else float(value)


def _text(value: float | int | None) -> str:
    return "none" if value is None else f"{value:.3f}"
