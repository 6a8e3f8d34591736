"""Runs as web pages: what a run is, in one file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from dlcli.config.load import load_config
from dlcli.config.render import read_origins
from dlcli.errors import DataError
from dlcli.evaluation.diagnosis.rules import LOOKED_FOR, RunLog, diagnose, diagnose_log
from dlcli.evaluation.evaluate import measure_run
from dlcli.model import count_parameters
from dlcli.overview import describe_run
from dlcli.plots.gallery import pictures
from dlcli.runs.comparison import compare_runs
from dlcli.runs.files import write_whole
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.log import read_rows, read_traces
from dlcli.runs.run_checkpoint import has_checkpoint
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run

if TYPE_CHECKING:  # pages are made seldom, and what makes them is imported late
    from dlcli.report.page import Contents, RunRecord
    from dlcli.report.record import Layer

REPORT = "report.html"
_CURVES = ("loss", "metrics", "learning_rate")  # the pictures of the way there
_ANOTHER_FILE = "name another file, such as report.html"


@dataclass(frozen=True)
class ReportResult:
    """A page that was written; `asdict` of it is what `dlcli report --json` prints.

    Attributes:
        run: The run's folder.
        file: The page.
        bytes: Its size.
    """

    run: str
    file: str
    bytes: int


def report(
    run: str | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> ReportResult:
    """Write one self-contained HTML page about a run; of one without a checkpoint, what it left behind.

    Args:
        run: A run's folder or name; None is the newest.
        output: The file; None is `report.html` in the run's folder.
        split: Which examples figures and pictures are of.
        checkpoint: Which parameters.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.
        notify: Told in a line what takes seconds, before it does.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used, or the file cannot be written.
    """
    from dlcli.report.page import render_report

    folder = find_run(run)
    file = folder.path / REPORT if output is None else Path(output)
    record = _record(folder)
    if has_checkpoint(folder, checkpoint):
        _, trained = load_trained_run(str(folder.path), split, checkpoint, device=device, data_root=data_root)
        contents = _contents(folder, trained, checkpoint, notify)
    else:
        contents = _log_alone(folder, record)
    page = render_report(record, contents).encode()
    _write_page(file, page)
    return ReportResult(str(folder.path), str(file), len(page))


def _record(folder: RunFolder) -> RunRecord:
    from dlcli.report.page import RunRecord

    loaded = load_config(folder.resolved)
    return RunRecord(
        path=str(folder.path),
        config=loaded.config,
        origins=read_origins(loaded.config, loaded.text),
        manifest=folder.read_manifest(),
        summary=folder.read_summary(),
        rows=read_rows(folder.path),
    )


def _contents(
    folder: RunFolder, trained: TrainedRun, checkpoint: CheckpointName, notify: Callable[[str], None]
) -> Contents:
    """Return what the page shows of a model: its figures, what is the matter with it, and its pictures."""
    from dlcli.report.images import embed
    from dlcli.report.page import Contents

    device, threads = next(trained.model.parameters()).device, folder.read_manifest().get("threads", 1)
    images = [(one.name, embed(one.title, one.alt, one.draw)) for one in pictures(trained)]
    return Contents(
        essentials=describe_run(trained.config, trained.splits, trained.model, device, threads, run="").essentials,
        measured=asdict(measure_run(folder, trained, checkpoint, notify=notify)),
        findings=diagnose(trained),
        looked_for=LOOKED_FOR,
        curves=[image for name, image in images if name in _CURVES],
        pictures=[image for name, image in images if name not in _CURVES],
        layers=_layers(trained.model, trained.info.in_features),
        unit=trained.info.target_unit,
    )


def _log_alone(folder: RunFolder, record: RunRecord) -> Contents:
    """Return what can be said of a run that has come to no model."""
    from dlcli.report.page import Contents

    traces = read_traces(folder.path, len(record.rows))
    return Contents(findings=diagnose_log(RunLog(record.config, record.rows, traces, record.summary["status"])))


def _layers(model: nn.Sequential, in_features: int) -> list[Layer]:
    from dlcli.report.record import Layer

    layers: list[Layer] = []
    size = in_features
    for module in model:
        if isinstance(module, nn.Linear):
            size = module.out_features
        shapes = ", ".join(f"{name} {' × '.join(map(str, one.shape))}" for name, one in module.named_parameters())
        layers.append(Layer(type(module).__name__, size, shapes, count_parameters(module)))
    return layers


def compare_page(runs: Sequence[str], output: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML page about several runs: where they differ, their figures and curves.

    Args:
        runs: Folders or names of runs.
        output: The file.

    Raises:
        UsageError: If there is no such run.
        DataError: If a run cannot be read, or the file not be written.
    """
    from dlcli.report.compare import ComparedRun, render_comparison

    folders = [find_run(run) for run in runs]
    comparison = compare_runs(folders)
    compared = []
    for folder in folders:
        config = load_config(folder.resolved).config
        status = folder.read_summary()["status"]
        compared.append(ComparedRun(str(folder.path), config.name, status, config.task, read_rows(folder.path)))
    _write_page(Path(output), render_comparison(compared, comparison.settings, comparison.metrics).encode())


def _write_page(file: Path, page: bytes) -> None:
    """Write a page, whole or not at all.

    Raises:
        DataError: If it cannot be written, or what is there is no regular file.
    """
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"cannot write {file}: there is something else than a file", hint=_ANOTHER_FILE)
        write_whole(file, page)
    except ValueError as error:  # no name a file could have
        raise DataError(f"cannot write {str(file)!r}: no name of a file", hint=_ANOTHER_FILE) from error
    except DataError as error:
        raise DataError(error.message, hint=_ANOTHER_FILE) from error
