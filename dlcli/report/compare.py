"""One page about several runs: where they differ, and what that did."""

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
    """Return a page about several runs.

    Args:
        runs: At least two.
        settings: Those in which they differ, a value for each run.
        metrics: What they came to, a value for each run; None where it is unknown.
    """
    letters = [f"run {i}" for i in range(1, len(runs) + 1)]
    images = _curves(runs, letters)
    every = [("runs", "Runs", True), ("figures", "Figures", True), ("curves", "Curves", bool(images))]
    return render_page(
        "compare.html.j2",
        sections=[(name, heading) for name, heading, is_there in [*every, ("config", "Config", True)] if is_there],
        names=[run.config.name for run in runs],
        runs=Table(
            "The runs",
            ["run", "folder", "status", "epochs"],
            [[letter, run.path, run.status, len(run.rows)] for letter, run in zip(letters, runs, strict=True)],
        ),
        metrics=Table("What they came to; ★ is the best", ["figure", *letters], _metric_rows(metrics)),
        images=images,
        settings=Table(
            "Settings in which they differ", ["setting", *letters], [[key, *row] for key, row in settings.items()]
        ),
    )


def _metric_rows(metrics: Mapping[str, Sequence[float | None]]) -> list[list[Value]]:
    """Return the figures; of each that says how good a run is, the best is marked, unless all are the same."""
    rows: list[list[Value]] = []
    for key, values in metrics.items():
        known = [value for value in values if value is not None]
        best = (max if key.rpartition("/")[2] in HIGHER_IS_BETTER else min)(known, default=None)
        is_contest = "/" in key and len(set(known)) > 1
        rows.append([key, *(Cell(value, mark="best" if is_contest and value == best else "") for value in values)])
    return rows


def _curves(runs: Sequence[Run], letters: Sequence[str]) -> list[Image]:
    """Return the loss and the tasks' headline figures by epoch."""
    metrics = [
        "train/loss",
        "val/loss",
        *(f"val/{HEADLINE[task]}" for task in dict.fromkeys(run.config.task for run in runs)),
    ]
    images = []
    for metric in metrics:
        logs = {letter: run.rows for letter, run in zip(letters, runs, strict=True)}
        shown = {letter: rows for letter, rows in logs.items() if any(metric in row for row in rows)}
        if shown:
            images.append(embed(f"{metric} by epoch", _alt(shown, metric), partial(draw_comparison, logs, metric)))
    return images


def _alt(logs: Mapping[str, Sequence[Row]], metric: str) -> str:
    ways = (
        f"{name} from {number(rows[0].get(metric))} to {number(rows[-1].get(metric))} in {len(rows)} epochs"
        for name, rows in logs.items()
    )
    return f"{metric}, a line a run: {'; '.join(ways)}."
