"""What is wrong with a run?"""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.evaluation.diagnosis import rules as diagnosis
from dlcli.evaluation.diagnosis.rules import Finding, RunLog
from dlcli.runs.folder import find_run
from dlcli.runs.log import read_rows, read_traces
from dlcli.runs.run_checkpoint import has_checkpoint
from dlcli.runs.trained_run import load_run_config, load_trained_run


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


def diagnose(run: str | None = None, *, device: str = "auto", data_root: str | None = None) -> DiagnoseResult:
    """Say what is wrong with a run, from its log and, where it has a best checkpoint, its model and data.

    Args:
        run: A run's folder or name; None is the newest.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder = find_run(run)
    status = folder.read_summary()["status"]
    if has_checkpoint(folder, "best"):
        _, trained = load_trained_run(str(folder.path), device=device, data_root=data_root)
        found = tuple(diagnosis.diagnose(trained))
        return DiagnoseResult(str(folder.path), status, len(trained.rows), trained.epoch, found)
    rows = read_rows(folder.path)
    log = RunLog(load_run_config(folder), rows, read_traces(folder.path, len(rows)), status)
    return DiagnoseResult(str(folder.path), status, len(rows), None, tuple(diagnosis.diagnose_log(log)))
