"""Diagnosis of a run."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.evaluation.diagnosis.finding import Finding
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.evaluation.diagnosis.rules import find_problems
from dlcli.runs.run import Run, open_run
from dlcli.runs.trained_run import load_trained_run


@dataclass(frozen=True)
class DiagnoseResult:
    """Result of a diagnosis; `dlcli runs show --diagnose --json` prints its findings with `asdict`.

    Attributes:
        run: Run folder.
        status: How training ended, such as `finished`.
        epochs: Number of completed epochs.
        epoch: Epoch of the best checkpoint; None if the run has none and only its log was examined.
        findings: Problems, the most severe first; empty for a healthy run.
    """

    run: str
    status: str
    epochs: int
    epoch: int | None
    findings: tuple[Finding, ...]


def diagnose(run: str | Run | None = None, *, device: str = "auto", data_root: str | None = None) -> DiagnoseResult:
    """Diagnose a run from its log and, if it has a best checkpoint, from its model and data.

    Args:
        run: Run folder or name; None selects the newest run.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.

    Raises:
        UsageError: If the run does not exist.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    run = open_run(run)
    if run.has_checkpoint("best"):
        trained = load_trained_run(run, device=device, data_root=data_root)
        findings = find_problems(trained, measure(trained))
        return DiagnoseResult(run.path, run.status, len(run.rows), trained.epoch, tuple(findings))
    return DiagnoseResult(run.path, run.status, len(run.rows), None, tuple(find_problems(run)))
