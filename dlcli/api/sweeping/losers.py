"""Trials that were pruned or are not among the best: their records and checkpoints."""

from __future__ import annotations

from pathlib import Path

from optuna import Study

from dlcli.errors import DataError
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.sweeps.records import TrialRecord, rank
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials


class Losers:
    """Trials that have ended and are not among the best. This process deletes the checkpoints of each once.

    No worker trains such a trial again: its end is stored. One that is among the best is so among fewer trials, too.
    """

    def __init__(self) -> None:
        self._ended: dict[int, TrialRecord] = {}
        self._deleted: set[int] = set()

    def delete(self, sweep: Sweep, study: Study) -> None:
        """Delete the checkpoints of the trials that have become losers."""
        records = read_trials(study, sweep, self._ended)
        ranked = rank(records, higher_is_better=sweep.loaded.is_maximized)
        kept = {record.number for record in ranked[: sweep.settings.keep]}
        for number in self._ended.keys() - kept - self._deleted:
            delete_checkpoints_of(sweep.folder.trial(number))
            self._deleted.add(number)


def mark_pruned(path: Path) -> None:
    """Record in the summary of a stopped run that its sweep has pruned it; do nothing if it is on another machine."""
    folder = RunFolder(path)
    if folder.summary.exists():
        write_json(folder.summary, {**folder.read_summary(), "status": "pruned"})


def delete_checkpoints_of(path: Path) -> None:
    """Delete the checkpoints of a trial; its metrics stay."""
    try:
        for file in RunFolder(path).checkpoint("last").parent.glob("*.safetensors"):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot delete {error.filename}: {error.strerror or error}") from error
