"""HTML report of one run: results, diagnosis, plots and reproduction."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlcli.evaluation.diagnosis.diagnose import RULE_NAMES, find_problems
from dlcli.evaluation.diagnosis.finding import Finding, write_advice
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.evaluation.evaluate import evaluate_trained
from dlcli.overview import describe_data, describe_run
from dlcli.plots.gallery import pictures
from dlcli.report.html import Image, embed, render_page, write_page
from dlcli.report.record import (
    columns_table,
    environment_facts,
    epochs_table,
    layers_table,
    reproduction_commands,
    settings_tables,
)
from dlcli.report.results import compare_models, metric_tables
from dlcli.report.tables import Table
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run

REPORT = "report.html"
_CURVES = ("loss", "metrics", "learning_rate")  # pictures of the training progress
_PHOTOGRAPHS = ("examples", "weights")
_COMPLETED = ("finished", "stopped early")


@dataclass(frozen=True)
class ReportResult:
    """Run folder, HTML file and its size; `dlcli report --json` prints them with `asdict`."""

    run: str
    file: str
    bytes: int


def report(
    run: RunLike | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> ReportResult:
    """Write a self-contained HTML page about a run; if the run ended before its first checkpoint, only about its log.

    The file is `output`; None means `report.html` in the run folder. The other arguments are those of `evaluate`.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used, or the file cannot be written.
    """
    run = open_run(run)
    file = run.folder.path / REPORT if output is None else Path(output)
    if run.has_checkpoint(checkpoint) or run.summary.get("best_epoch"):  # a lost checkpoint is an error
        trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
        contents = _contents(run, trained, checkpoint, notify)
    else:
        contents = Contents(findings=find_problems(run))
    page = render_report(run, contents).encode()
    write_page(file, page)
    return ReportResult(run.path, str(file), len(page))


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
        names: Names of all plots.
        unit: Unit of the headline metric; "" if it has none.
    """

    essentials: Sequence[tuple[str, str]] = ()
    measured: Mapping[str, Any] | None = None
    findings: Sequence[Finding] = ()
    looked_for: Sequence[str] = ()
    curves: Sequence[Image] = ()
    pictures: Sequence[Image] = ()
    columns: Table | None = None
    names: Sequence[str] = ()
    layers: Table | None = None
    unit: str = ""


def _contents(run: Run, trained: TrainedRun, checkpoint: CheckpointName, notify: Callable[[str], None]) -> Contents:
    """Return the contents of the page that need the model: metrics, findings and plots."""
    device, threads = next(trained.model.parameters()).device, run.manifest.get("threads", 1)
    images = [
        (picture.name, embed(picture.title, picture.alt, picture.draw, is_photograph=picture.name in _PHOTOGRAPHS))
        for picture in pictures(trained)
    ]
    return Contents(
        essentials=describe_run(trained.config, trained.splits, trained.model, device, threads, run="").essentials,
        measured=asdict(evaluate_trained(run, trained, checkpoint, notify=notify)),
        findings=find_problems(trained, measure(trained)),
        looked_for=RULE_NAMES,
        curves=[image for name, image in images if name in _CURVES],
        pictures=[image for name, image in images if name not in _CURVES],
        columns=columns_table(trained.info.columns, trained.splits.input_scaling),
        names=[name for name, _ in images],
        layers=layers_table(trained.model, trained.info.in_features),
        unit=trained.info.target_unit,
    )


def render_report(run: Run, contents: Contents) -> str:
    """Return the HTML report of a run."""
    summary, measured = run.summary, contents.measured
    best = summary.get("best_epoch")
    trouble = None if summary["status"] in _COMPLETED else summary.get("error") or ""
    split = measured["split"] if measured else ""
    result, diagnosis = ("result", "Result", True), ("diagnosis", "Diagnosis", contents.findings or contents.looked_for)
    return render_page(
        "report.html.j2",
        [
            *([diagnosis, result] if trouble is not None else [result, diagnosis]),
            ("curves", "Training curves", contents.curves or run.rows),
            ("pictures", f"Plots of the {split} split", contents.pictures),
            ("figures", f"Metrics on the {split} split", measured),
            ("model", "Data and model", contents.layers),
            ("config", "Settings", True),
            ("environment", "Environment", True),
            ("repeat", "How to reproduce this run", True),
        ],
        record=run,
        data=describe_data(run.config),
        contents=contents,
        comparison=compare_models(measured) if measured else None,
        tables=metric_tables(measured, contents.names) if measured else (),
        trouble=trouble,
        advice=[write_advice(finding, f"{run.path}/resolved.yaml") for finding in contents.findings],
        epochs=epochs_table(run.rows, best if isinstance(best, int) else None),
        settings=settings_tables(run.config, run.origins),
        environment=environment_facts(run.manifest, summary),
        commands=reproduction_commands(run.path, run.manifest),
    )
