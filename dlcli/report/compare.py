"""HTML page that compares several runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dlcli.config.schema import HEADLINE, HIGHER_IS_BETTER
from dlcli.plots.comparison import draw_comparison
from dlcli.report.html import Image, embed, number, render_page, write_page
from dlcli.report.tables import Cell, Table, Value
from dlcli.runs.comparison import compare_runs
from dlcli.runs.log import Row
from dlcli.runs.run import Run, open_run


def compare_page(runs: Sequence[str | Run], output: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML page that compares runs: differing settings, metrics and curves.

    Raises:
        UsageError: If the run does not exist.
        DataError: If a run cannot be read, or the file cannot be written.
    """
    opened = [open_run(run) for run in runs]
    comparison = compare_runs(opened)
    write_page(Path(output), render_comparison(opened, comparison.settings, comparison.metrics).encode())


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
    logs = {f"run {i}": run.rows for i, run in enumerate(runs, 1)}
    headlines = dict.fromkeys(HEADLINE[run.config.task] for run in runs)
    images = _curves(logs, ["train/loss", "val/loss", *(f"val/{name}" for name in headlines)])
    return render_page(
        "compare.html.j2",
        [
            ("runs", "Runs", True),
            ("figures", "Metrics", True),
            ("curves", "Curves", images),
            ("config", "Config", True),
        ],
        names=[run.config.name for run in runs],
        runs=Table(
            "Runs",
            ["run", "folder", "status", "epochs"],
            [[label, run.path, run.status, len(run.rows)] for label, run in zip(logs, runs, strict=True)],
        ),
        metrics=Table("Metrics; ★ marks the best value", ["metric", *logs], _metric_rows(metrics)),
        images=images,
        settings=Table("Settings that differ", ["setting", *logs], [[key, *row] for key, row in settings.items()]),
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


def _curves(logs: Mapping[str, Sequence[Row]], metrics: Sequence[str]) -> list[Image]:
    """Return a plot by epoch of each metric that is in one of the logs."""
    images = []
    for metric in metrics:
        shown = {label: rows for label, rows in logs.items() if any(metric in row for row in rows)}
        if shown:
            lines = (
                f"{label} from {number(rows[0].get(metric))} to {number(rows[-1].get(metric))} in {len(rows)} epochs"
                for label, rows in shown.items()
            )
            alt = f"{metric}, one line per run: {'; '.join(lines)}."
            images.append(embed(f"{metric} by epoch", alt, partial(draw_comparison, logs, metric)))
    return images
