"""Bar charts of per-class metrics and class frequencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from dlcli.evaluation.classification import per_class_metrics
from dlcli.plots.confusion import run_counts
from dlcli.plots.style import COLOURS, HATCHES, MUTED, Sketch, new_axes, percent, shorten
from dlcli.runs.trained_run import SplitName, TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
_MOST = 20  # maximum number of classes in one plot
_BAR = 0.27  # height of each of the three bars of a class; the remainder separates the classes
_FILLS = (COLOURS[0], "white", COLOURS[4])  # combined with HATCHES: solid, hatched, light with dots


def per_class(run: TrainedRun) -> Sketch | None:
    """Return a bar chart of precision, recall and F1 by class; None for regression."""
    if run.info.task != "classification":
        return None
    names = shorten(run.info.class_names, 24)
    metrics = list(per_class_metrics(torch.from_numpy(run_counts(run)), range(len(names))).values())  # type: ignore[arg-type]
    f1 = [_number(values["f1"]) for values in metrics]
    order = sorted(range(len(names)), key=lambda i: np.nan_to_num(f1[i], nan=np.inf))
    shown = sorted(order[:_MOST])
    worst = order[0]
    which = "" if len(names) <= _MOST else f", the {_MOST} lowest of {len(names)} classes"
    title = f"Metrics by class, {run.split_name}: lowest F1 {f1[worst]:.3f} ({names[worst]}){which}"
    lines = [
        f"{names[i]} {_text(metrics[i]['precision'])}, {_text(metrics[i]['recall'])}, {_text(metrics[i]['f1'])}"
        for i in shown
    ]
    alt = f"Precision, recall and F1 of {len(shown)} classes of {run.split_name}: {'; '.join(lines)}."

    def draw() -> Figure:
        groups = {
            heading: [_number(metrics[i][key]) for i in shown]
            for heading, key in (("precision", "precision"), ("recall", "recall"), ("F1", "f1"))
        }
        figure, axes = new_axes(title, height=1.4 + 0.42 * len(shown))
        _draw_groups(axes, [names[i] for i in shown], groups)
        axes.set_xlim(0, 1)
        axes.set_xlabel(
            "precision: P(correct | predicted class) · recall: P(correct | true class)\nF1: harmonic mean of both",
            fontsize=8,
        )
        for y, i in enumerate(shown):
            _annotate_row(axes, y, metrics[i])
        return figure

    return Sketch(title, alt, draw)


def _annotate_row(axes: Axes, y: int, metrics: Mapping[str, float | int | None]) -> None:
    missing = [("precision", "never predicted"), ("recall", "not in the split")]
    words = [text for key, text in missing if metrics[key] is None]
    if words:
        axes.text(0.01, y, ", ".join(words), verticalalignment="center", color=MUTED, fontsize=8)
    elif metrics["f1"] is not None:
        f1 = float(metrics["f1"])
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
    """Return a bar chart of the class frequencies in train, val and test; None for regression."""
    if run.info.task != "classification":
        return None
    k, names = run.info.out_features, shorten(run.info.class_names, 24)
    splits = [name for name in _SPLITS if len(run.examples(name))]
    fractions = {name: _class_fractions(run, name, k) for name in splits}
    train = fractions["train"]
    high, low = int(train.argmax()), int(train.argmin())
    order = sorted(sorted(range(k), key=lambda i: -train[i])[:_MOST])
    which = "" if k <= _MOST else f" (the {_MOST} largest of {k})"
    if train[high] - train[low] < 0.005:
        title = f"Class frequencies: all {k} classes about {percent(1 / k)}{which}"
    else:
        title = (
            f"Class frequencies, train: {percent(train[low])} ({names[low]}) to "
            f"{percent(train[high])} ({names[high]}){which}"
        )
    lines = [f"{names[i]} {', '.join(percent(values[i]) for values in fractions.values())}" for i in order]
    alt = f"Fraction of each class in {', '.join(splits[:-1])} and {splits[-1]}: {'; '.join(lines)}."

    def draw() -> Figure:
        figure, axes = new_axes(title, height=1.4 + 0.42 * len(order))
        sizes = {name: f"{name} ({len(run.examples(name)):,})" for name in splits}
        _draw_groups(axes, [names[i] for i in order], {sizes[name]: fractions[name][order] for name in splits})
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.set_xlabel("P(class): fraction of the split's examples")
        return figure

    return Sketch(title, alt, draw)


def _class_fractions(run: TrainedRun, name: SplitName, k: int) -> np.ndarray:
    labels = run.truth(run.examples(name)).numpy()
    return np.bincount(labels, minlength=k) / max(1, len(labels))


def _draw_groups(axes: Axes, names: Sequence[str], groups: Mapping[str, Sequence[float] | np.ndarray]) -> None:
    """Draw three bars for each name, the first name at the top, and a legend above the axes."""
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
