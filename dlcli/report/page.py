"""One page about one run: what came out, why, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.evaluation.diagnosis.finding import Finding
from dlcli.report.html import render_page
from dlcli.report.images import Image
from dlcli.report.record import (
    Layer,
    environment_facts,
    epochs_table,
    layers_table,
    repeat_commands,
    settings_tables,
)
from dlcli.report.results import Results, present_results
from dlcli.runs.run import Run


@dataclass(frozen=True)
class Contents:
    """What is known of a run's model. All of it may be missing: a run may end before there is one.

    Attributes:
        essentials: Data, task, model and training in a line each: (heading, text).
        measured: What `dlcli eval --json` gives; None without a checkpoint.
        findings: What the diagnosis found; empty for a healthy run.
        looked_for: What the diagnosis would have found; empty where there was none.
        curves: Pictures of the way there.
        pictures: Pictures of the result.
        layers: The model, from inputs to outputs.
        unit: Of the headline figure; "" for a bare number.
    """

    essentials: Sequence[tuple[str, str]] = ()
    measured: Mapping[str, Any] | None = None
    findings: Sequence[Finding] = ()
    looked_for: Sequence[str] = ()
    curves: Sequence[Image] = ()
    pictures: Sequence[Image] = ()
    layers: Sequence[Layer] = ()
    unit: str = ""


_SOUND = ("finished", "stopped early")


def render_report(run: Run, contents: Contents) -> str:
    """Return the page of a run."""
    summary = run.summary
    results = present_results(contents.measured) if contents.measured else None
    best = summary.get("best_epoch")
    return render_page(
        "report.html.j2",
        record=run,
        contents=contents,
        results=results,
        sections=_sections(run, contents, results),
        trouble=None if summary["status"] in _SOUND else summary.get("error") or "",
        epochs=epochs_table(run.rows, best if isinstance(best, int) else None),
        layers=layers_table(contents.layers),
        settings=settings_tables(run.config, run.origins),
        environment=environment_facts(run.manifest, summary),
        commands=repeat_commands(run.path, run.manifest),
    )


def _sections(run: Run, contents: Contents, results: Results | None) -> list[tuple[str, str]]:
    """Return what there is to read: ids and headings, in the page's order."""
    every = [
        ("result", "Result", True),
        ("diagnosis", "Diagnosis", bool(contents.findings or contents.looked_for)),
        ("curves", "Curves", bool(contents.curves or run.rows)),
        ("figures", "Figures", results is not None),
        ("pictures", "Pictures", bool(contents.pictures)),
        ("model", "Model", bool(contents.layers)),
        ("config", "Config", True),
        ("environment", "Environment", True),
        ("repeat", "How to repeat it", True),
    ]
    return [(name, heading) for name, heading, is_there in every if is_there]
