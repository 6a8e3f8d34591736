"""Self-contained HTML pages about one run or several runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from dlcli.analysis.diagnosis import LOOKED_FOR, RunLog, diagnose, diagnose_log
from dlcli.analysis.plots.gallery import pictures
from dlcli.analysis.trained_run import SplitName, TrainedRun
from dlcli.api.measuring import measure_run
from dlcli.api.setup import CheckpointName, load_trained_run
from dlcli.config.load import load_config
from dlcli.config.render import read_origins
from dlcli.errors import DataError
from dlcli.model import count_parameters
from dlcli.reporters.overview import describe_run
from dlcli.runs.comparison import compare_runs
from dlcli.runs.files import write_whole
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.log import read_rows, read_traces
from dlcli.runs.run_checkpoint import has_checkpoint

if TYPE_CHECKING:  # imported late: rarely used
    from dlcli.analysis.report.page import Contents, RunRecord
    from dlcli.analysis.report.record import Layer

REPORT = "report.html"
_CURVES = ("loss", "metrics", "learning_rate")  # pictures of the training progress
_ANOTHER_FILE = "choose another file, such as report.html"


@dataclass(frozen=True)
class ReportResult:
    """Report file; `dlcli report --json` prints it with `asdict`.

    Attributes:
        run: Run folder.
        file: Path of the HTML file.
        bytes: Size of the file.
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
    """Write one self-contained HTML page about a run. A run without a checkpoint gets a page from its log.

    Args:
        run: Run folder or name; None selects the newest run.
        output: Output file; None uses `report.html` in the run folder.
        split: Split that the metrics and pictures show.
        checkpoint: Checkpoint to load the model from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        notify: Called with a one-line message before a slow step.

    Raises:
        UsageError: If the run does not exist.
        DataError: If the run, its checkpoint or its data cannot be used, or the file cannot be written.
    """
    from dlcli.analysis.report.page import render_report

    folder = find_run(run)
    file = folder.path / REPORT if output is None else Path(output)
    record = _record(folder)
    if has_checkpoint(folder, checkpoint):
        _, trained = load_trained_run(str(folder.path), split, checkpoint, device=device, data_root=data_root)
        contents = _contents(folder, trained, checkpoint, notify)
    else:
        contents = _log_only(folder, record)
    page = render_report(record, contents).encode()
    _write_page(file, page)
    return ReportResult(str(folder.path), str(file), len(page))


def _record(folder: RunFolder) -> RunRecord:
    from dlcli.analysis.report.page import RunRecord

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
    """Return the page contents for a run with a model: metrics, diagnosis and pictures."""
    from dlcli.analysis.report.images import embed
    from dlcli.analysis.report.page import Contents

    device, threads = next(trained.model.parameters()).device, folder.read_manifest().get("threads", 1)
    images = [(picture.name, embed(picture.title, picture.alt, picture.draw)) for picture in pictures(trained)]
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


def _log_only(folder: RunFolder, record: RunRecord) -> Contents:
    """Return the page contents for a run without a checkpoint, from its log."""
    from dlcli.analysis.report.page import Contents

    traces = read_traces(folder.path, len(record.rows))
    return Contents(findings=diagnose_log(RunLog(record.config, record.rows, traces, record.summary["status"])))


def _layers(model: nn.Sequential, in_features: int) -> list[Layer]:
    from dlcli.analysis.report.record import Layer

    layers: list[Layer] = []
    size = in_features
    for module in model:
        if isinstance(module, nn.Linear):
            size = module.out_features
        shapes = ", ".join(f"{name} {' × '.join(map(str, tensor.shape))}" for name, tensor in module.named_parameters())
        layers.append(Layer(type(module).__name__, size, shapes, count_parameters(module)))
    return layers


def compare_page(runs: Sequence[str], output: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML page that compares runs: differing settings, metrics and curves.

    Args:
        runs: Run folders or names.
        output: Output file.

    Raises:
        UsageError: If the run does not exist.
        DataError: If a run cannot be read, or the file cannot be written.
    """
    from dlcli.analysis.report.compare import ComparedRun, render_comparison

    folders = [find_run(run) for run in runs]
    comparison = compare_runs(folders)
    compared = []
    for folder in folders:
        config = load_config(folder.resolved).config
        status = folder.read_summary()["status"]
        compared.append(ComparedRun(str(folder.path), config.name, status, config.task, read_rows(folder.path)))
    _write_page(Path(output), render_comparison(compared, comparison.settings, comparison.metrics).encode())


def _write_page(file: Path, page: bytes) -> None:
    """Write a page atomically.

    Raises:
        DataError: If the file cannot be written, or the path exists and is not a regular file.
    """
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"cannot write {file}: it exists and is not a regular file", hint=_ANOTHER_FILE)
        write_whole(file, page)
    except ValueError as error:  # such as a NUL character in the path
        raise DataError(f"cannot write {str(file)!r}: not a valid file name", hint=_ANOTHER_FILE) from error
    except DataError as error:
        raise DataError(error.message, hint=_ANOTHER_FILE) from error
