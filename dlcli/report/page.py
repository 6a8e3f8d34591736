"""HTML report of one run: results, diagnosis, plots and reproduction."""

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
    reproduction_commands,
    settings_tables,
)
from dlcli.report.results import Results, present_results
from dlcli.runs.run import Run


@dataclass(frozen=True)
class Contents:
    """Information about a run's model. Every part may be missing: a run can end before its first checkpoint.

    Attributes:
        essentials: (heading, text) pairs that describe data, task, model and training.
        measured: Output of `dlcli eval --json`; None without a checkpoint.
        findings: Findings of the diagnosis; empty for a healthy run.
        looked_for: Problems that the diagnosis checked for; empty without a diagnosis.
        curves: Plots of the training.
        pictures: Plots of the result.
        layers: Layers of the model, from inputs to outputs.
        unit: Unit of the headline metric; "" if it has none.
    """

    essentials: Sequence[tuple[str, str]] = ()
    measured: Mapping[str, Any] | None = None
    findings: Sequence[Finding] = ()
    looked_for: Sequence[str] = ()
    curves: Sequence[Image] = ()
    pictures: Sequence[Image] = ()
    layers: Sequence[Layer] = ()
    unit: str = ""


_COMPLETED = ("finished", "stopped early")


def render_report(run: Run, contents: Contents) -> str:
    """Return the HTML report of a run."""
    summary = run.summary
    results = present_results(contents.measured) if contents.measured else None
    best = summary.get("best_epoch")
    return render_page(
        "report.html.j2",
        record=run,
        contents=contents,
        results=results,
        sections=_sections(run, contents, results),
        trouble=None if summary["status"] in _COMPLETED else summary.get("error") or "",
        epochs=epochs_table(run.rows, best if isinstance(best, int) else None),
        layers=layers_table(contents.layers),
        settings=settings_tables(run.config, run.origins),
        environment=environment_facts(run.manifest, summary),
        commands=reproduction_commands(run.path, run.manifest),
    )


def _sections(run: Run, contents: Contents, results: Results | None) -> list[tuple[str, str]]:
    """Return ids and headings of the sections present, in page order."""
    candidates = [
        ("result", "Result", True),
        ("diagnosis", "Diagnosis", bool(contents.findings or contents.looked_for)),
        ("curves", "Curves", bool(contents.curves or run.rows)),
        ("figures", "Metrics", results is not None),
        ("pictures", "Plots", bool(contents.pictures)),
        ("model", "Model", bool(contents.layers)),
        ("config", "Config", True),
        ("environment", "Environment", True),
        ("repeat", "How to reproduce this run", True),
    ]
    return [(name, heading) for name, heading, is_present in candidates if is_present]
