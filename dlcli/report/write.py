"""Self-contained HTML pages about one run or several runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from dlcli.errors import DataError
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.evaluation.diagnosis.rules import RULE_NAMES, find_problems
from dlcli.evaluation.evaluate import evaluate_trained
from dlcli.model import count_parameters
from dlcli.overview import describe_run
from dlcli.plots.gallery import pictures
from dlcli.runs.comparison import compare_runs
from dlcli.runs.files import write_atomic
from dlcli.runs.run import Run, open_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run

if TYPE_CHECKING:  # jinja2 is imported only when a page is written
    from dlcli.report.page import Contents
    from dlcli.report.record import Layer

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
    run: str | Run | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> ReportResult:
    """Write a self-contained HTML page about a run; a run without a checkpoint is described by its log alone.

    Args:
        run: Run, run folder or name; None selects the newest run.
        output: File to write; None means `report.html` in the run folder.
        split: Split that metrics and plots refer to.
        checkpoint: Checkpoint to load the parameters from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        notify: Called with a one-line message before a slow step.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used, or the file cannot be written.
    """
    from dlcli.report.page import Contents, render_report

    run = open_run(run)
    file = run.folder.path / REPORT if output is None else Path(output)
    if run.has_checkpoint(checkpoint):
        trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
        contents = _contents(run, trained, checkpoint, notify)
    else:
        contents = Contents(findings=find_problems(run))
    page = render_report(run, contents).encode()
    _write_page(file, page)
    return ReportResult(run.path, str(file), len(page))


def _contents(run: Run, trained: TrainedRun, checkpoint: CheckpointName, notify: Callable[[str], None]) -> Contents:
    """Return the contents of the page that need the model: metrics, findings and plots."""
    from dlcli.report.images import embed
    from dlcli.report.page import Contents

    device, threads = next(trained.model.parameters()).device, run.manifest.get("threads", 1)
    images = [(picture.name, embed(picture.title, picture.alt, picture.draw)) for picture in pictures(trained)]
    return Contents(
        essentials=describe_run(trained.config, trained.splits, trained.model, device, threads, run="").essentials,
        measured=asdict(evaluate_trained(run, trained, checkpoint, notify=notify)),
        findings=find_problems(trained, measure(trained)),
        looked_for=RULE_NAMES,
        curves=[image for name, image in images if name in _CURVES],
        pictures=[image for name, image in images if name not in _CURVES],
        layers=_layers(trained.model, trained.info.in_features),
        unit=trained.info.target_unit,
    )


def _layers(model: nn.Sequential, in_features: int) -> list[Layer]:
    from dlcli.report.record import Layer

    layers: list[Layer] = []
    size = in_features
    for module in model:
        if isinstance(module, nn.Linear):
            size = module.out_features
        shapes = ", ".join(f"{name} {' × '.join(map(str, tensor.shape))}" for name, tensor in module.named_parameters())
        layers.append(Layer(type(module).__name__, size, shapes, count_parameters(module)))
    return layers


def compare_page(runs: Sequence[str | Run], output: str | os.PathLike[str]) -> None:
    """Write one self-contained HTML page that compares runs: differing settings, metrics and curves.

    Args:
        runs: Run folders or names.
        output: Output file.

    Raises:
        UsageError: If the run does not exist.
        DataError: If a run cannot be read, or the file cannot be written.
    """
    from dlcli.report.compare import render_comparison

    opened = [open_run(run) for run in runs]
    comparison = compare_runs(opened)
    _write_page(Path(output), render_comparison(opened, comparison.settings, comparison.metrics).encode())


def _write_page(file: Path, page: bytes) -> None:
    """Write a page atomically.

    Raises:
        DataError: If the file cannot be written, or the path exists and is not a regular file.
    """
    try:
        if file.exists() and not file.is_file():
            raise DataError(f"cannot write {file}: it exists and is not a regular file", hint=_ANOTHER_FILE)
        write_atomic(file, page)
    except ValueError as error:  # such as a NUL character in the path
        raise DataError(f"cannot write {str(file)!r}: not a valid file name", hint=_ANOTHER_FILE) from error
    except DataError as error:
        raise DataError(error.message, hint=_ANOTHER_FILE) from error
