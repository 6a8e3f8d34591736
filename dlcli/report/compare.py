"""HTML page that compares several runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dlcli.config.schema import HEADLINE
from dlcli.evaluation.ranking import Mark, explain_data, explain_marks, rank_runs
from dlcli.plots.comparison import draw_comparison
from dlcli.report.html import Image, embed, number, render_page, write_page
from dlcli.report.tables import Cell, Table, Value
from dlcli.runs.comparison import Comparison, compare_runs, format_time
from dlcli.runs.log import Row
from dlcli.runs.run import Run, open_run


def compare_page(runs: Sequence[str | Run], output: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML page that compares runs: differing settings, metrics and curves.

    Raises:
        UsageError: If a run does not exist.
        DataError: If a run cannot be read, or the file cannot be written.
    """
    opened = [open_run(run) for run in runs]
    comparison = compare_runs(opened)
    write_page(Path(output), render_comparison(opened, comparison).encode())


def render_comparison(runs: Sequence[Run], comparison: Comparison) -> str:
    """Return an HTML page that compares at least two runs."""
    labels = comparison.labels
    logs = dict(zip(labels, (run.rows for run in runs), strict=True))
    headlines = dict.fromkeys(HEADLINE[run.config.task] for run in runs)
    images = _curves(logs, ["train/loss", "val/loss", *(f"val/{name}" for name in headlines)])
    marks = rank_runs(runs, comparison)
    return render_page(
        "compare.html.j2",
        [
            ("runs", "Runs", True),
            ("figures", "Metrics", True),
            ("curves", "Curves", images),
            ("config", "Config", True),
        ],
        labels=labels,
        runs=Table(
            "Status, epochs and time",
            ["run", "folder", "status", "epochs", "time"],
            [
                [label, run.path, run.status, len(run.rows), format_time(run.summary.get("seconds"))]
                for label, run in zip(labels, runs, strict=True)
            ],
        ),
        metrics=Table(
            "; ".join(["Metrics", *explain_marks(marks), *filter(None, [explain_data(runs)])]),
            ["metric", *labels],
            _metric_rows(comparison, marks),
        ),
        images=images,
        settings=Table(
            "Settings that differ", ["setting", *labels], [[key, *row] for key, row in comparison.settings.items()]
        ),
    )


def _metric_rows(comparison: Comparison, marks: Mapping[str, Sequence[Mark]]) -> list[list[Value]]:
    """Return the rows of the metrics, with the marks of `rank_runs`; the table of runs has the time instead."""
    rows: list[list[Value]] = []
    for key, values in comparison.metrics.items():
        if key != "seconds":
            pairs = zip(values, marks.get(key, [""] * len(values)), strict=True)
            rows.append([key, *(Cell(value, mark=mark) for value, mark in pairs)])
    return rows


def _curves(logs: Mapping[str, Sequence[Row]], metrics: Sequence[str]) -> list[Image]:
    """Return a plot by epoch for each metric that at least one log contains."""
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
