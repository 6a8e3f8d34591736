"""What is wrong with a run?"""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.evaluation.diagnosis.finding import Finding
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.evaluation.diagnosis.rules import find_problems
from dlcli.runs.run import Run, open_run
from dlcli.runs.trained_run import load_trained_run


@dataclass(frozen=True)
class DiagnoseResult:
    """What was found; `asdict` of its findings is what `dlcli runs show --diagnose --json` prints.

    Attributes:
        run: The run's folder.
        status: How training ended.
        epochs: How many have ended.
        epoch: The best checkpoint's; None where there is none, so that only the log could be looked at.
        findings: The worst first; none for a healthy run.
    """

    run: str
    status: str
    epochs: int
    epoch: int | None
    findings: tuple[Finding, ...]


def diagnose(run: str | Run | None = None, *, device: str = "auto", data_root: str | None = None) -> DiagnoseResult:
    """Say what is wrong with a run, from its log and, where it has a best checkpoint, its model and data.

    Args:
        run: A run's folder or name; None is the newest.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    run = open_run(run)
    if run.has_checkpoint("best"):
        trained = load_trained_run(run, device=device, data_root=data_root)
        findings = find_problems(trained, measure(trained))
        return DiagnoseResult(run.path, run.status, len(run.rows), trained.epoch, tuple(findings))
    return DiagnoseResult(run.path, run.status, len(run.rows), None, tuple(find_problems(run)))
