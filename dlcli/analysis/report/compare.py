"""HTML page that compares several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dlcli.analysis.plots.comparison import Curve, draw_comparison
from dlcli.analysis.report.html import number, render_page
from dlcli.analysis.report.images import Image, embed
from dlcli.analysis.report.tables import Cell, Table, Value
from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER, TaskName


@dataclass(frozen=True)
class ComparedRun:
    """One of the compared runs.

    Attributes:
        path: Run folder.
        name: Short name of the run.
        status: Final status of the training.
        task: Task of the run.
        rows: Rows of the log, one per epoch.
    """

    path: str
    name: str
    status: str
    task: TaskName
    rows: Sequence[Mapping[str, float | int]]


def render_comparison(
    runs: Sequence[ComparedRun],
    settings: Mapping[str, Sequence[str]],
    metrics: Mapping[str, Sequence[float | None]],
) -> str:
    """Return an HTML page that compares several runs.

    Args:
        runs: Runs to compare, at least two.
        settings: Settings that differ, with one value per run.
        metrics: Metrics with one value per run; None where unknown.
    """
    labels = [f"run {i}" for i in range(1, len(runs) + 1)]
    images = _curves(runs, labels)
    candidates = [("runs", "Runs", True), ("figures", "Metrics", True), ("curves", "Curves", bool(images))]
    return render_page(
        "compare.html.j2",
        sections=[
            (name, heading) for name, heading, is_present in [*candidates, ("config", "Config", True)] if is_present
        ],
        names=[run.name for run in runs],
        runs=Table(
            "Runs",
            ["run", "folder", "status", "epochs"],
            [[label, run.path, run.status, len(run.rows)] for label, run in zip(labels, runs, strict=True)],
        ),
        metrics=Table("Metrics; ★ marks the best value", ["metric", *labels], _metric_rows(metrics)),
        images=images,
        settings=Table("Settings that differ", ["setting", *labels], [[key, *row] for key, row in settings.items()]),
    )


def _metric_rows(metrics: Mapping[str, Sequence[float | None]]) -> list[list[Value]]:
    """Return the metrics, with the best value of each quality metric marked unless all values are equal."""
    rows: list[list[Value]] = []
    for key, values in metrics.items():
        known = [value for value in values if value is not None]
        best = (max if key.rpartition("/")[2] in HIGHER_IS_BETTER else min)(known, default=None)
        is_ranked = "/" in key and len(set(known)) > 1
        rows.append([key, *(Cell(value, mark="best" if is_ranked and value == best else "") for value in values)])
    return rows


def _curves(runs: Sequence[ComparedRun], labels: Sequence[str]) -> list[Image]:
    """Return plots of the loss and of each task's headline metric by epoch."""
    metrics = ["train/loss", "val/loss", *(f"val/{HEADLINE[task]}" for task in dict.fromkeys(run.task for run in runs))]
    images = []
    for metric in metrics:
        curves = [Curve(label, run.rows) for label, run in zip(labels, runs, strict=True)]
        shown = [curve for curve in curves if any(metric in row for row in curve.rows)]
        if shown:
            images.append(embed(f"{metric} by epoch", _alt(shown, metric), partial(draw_comparison, curves, metric)))
    return images


def _alt(curves: Sequence[Curve], metric: str) -> str:
    parts = (
        f"{curve.name} from {number(curve.rows[0].get(metric))} to {number(curve.rows[-1].get(metric))}"
        f" in {len(curve.rows)} epochs"
        for curve in curves
    )
    return f"{metric}, one line per run: {'; '.join(parts)}."
