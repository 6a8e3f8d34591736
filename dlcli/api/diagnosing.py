"""Diagnosis of a run."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.analysis import diagnosis
from dlcli.analysis.diagnosis import Finding, RunLog
from dlcli.api.setup import load_run_config, load_trained_run
from dlcli.runs.folder import find_run
from dlcli.runs.log import read_rows, read_traces
from dlcli.runs.run_checkpoint import has_checkpoint


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


def diagnose(run: str | None = None, *, device: str = "auto", data_root: str | None = None) -> DiagnoseResult:
    """Diagnose a run from its log and, if it has a best checkpoint, from its model and data.

    Args:
        run: Run folder or name; None selects the newest run.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.

    Raises:
        UsageError: If the run does not exist.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder = find_run(run)
    status = folder.read_summary()["status"]
    if has_checkpoint(folder, "best"):
        _, trained = load_trained_run(str(folder.path), device=device, data_root=data_root)
        findings = tuple(diagnosis.diagnose(trained))
        return DiagnoseResult(str(folder.path), status, len(trained.rows), trained.epoch, findings)
    rows = read_rows(folder.path)
    log = RunLog(load_run_config(folder), rows, read_traces(folder.path, len(rows)), status)
    return DiagnoseResult(str(folder.path), status, len(rows), None, tuple(diagnosis.diagnose_log(log)))
