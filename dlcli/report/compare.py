"""HTML page that compares several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER
from dlcli.plots.comparison import draw_comparison
from dlcli.report.html import number, render_page
from dlcli.report.images import Image, embed
from dlcli.report.tables import Cell, Table, Value
from dlcli.runs.log import Row
from dlcli.runs.run import Run


def render_comparison(
    runs: Sequence[Run],
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
    candidates = [
        ("runs", "Runs", True),
        ("figures", "Metrics", True),
        ("curves", "Curves", bool(images)),
        ("config", "Config", True),
    ]
    return render_page(
        "compare.html.j2",
        sections=[(name, heading) for name, heading, is_present in candidates if is_present],
        names=[run.config.name for run in runs],
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


def _curves(runs: Sequence[Run], labels: Sequence[str]) -> list[Image]:
    """Return plots of the loss and of each task's headline metric by epoch."""
    metrics = [
        "train/loss",
        "val/loss",
        *(f"val/{HEADLINE[task]}" for task in dict.fromkeys(run.config.task for run in runs)),
    ]
    images = []
    for metric in metrics:
        logs = {label: run.rows for label, run in zip(labels, runs, strict=True)}
        shown = {label: rows for label, rows in logs.items() if any(metric in row for row in rows)}
        if shown:
            images.append(embed(f"{metric} by epoch", _alt(shown, metric), partial(draw_comparison, logs, metric)))
    return images


def _alt(logs: Mapping[str, Sequence[Row]], metric: str) -> str:
    parts = (
        f"{name} from {number(rows[0].get(metric))} to {number(rows[-1].get(metric))} in {len(rows)} epochs"
        for name, rows in logs.items()
    )
    return f"{metric}, one line per run: {'; '.join(parts)}."
