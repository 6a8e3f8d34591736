"""Recorder of training events: writes log, checkpoints and summary to the run folder."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any, Self

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DataError, DivergedError, Interrupted
from dlcli.runs.checkpoint import Checkpoint, save_checkpoint
from dlcli.runs.checkpoint_maker import CheckpointMaker
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import append_row, append_trace, chain_row, epoch_row, log_digest, sync_log
from dlcli.runs.resume import ResumePoint
from dlcli.runs.summary import summarize
from dlcli.training.events import EpochEnded, Event, FitEnded, StepEnded
from dlcli.training.fit import Fit

# Least time between two saves at the ends of epochs, because an epoch may be shorter than a write. A kill loses at most
# this much training besides the current epoch.
SAVE_SECONDS = 1.0


class Recorder:
    """Writer of the checkpoints, the metrics log and the summary of one run.

    Args:
        folder: Run folder, locked by this process.
        fit: Training whose state is read between two events.
        splits: Data splits, for their scaling and checksums.
        config: Config of the run.
        point: Point that the run resumes from; None for a new run.
        sharing: Number of trainings that share the time of this process, each with its own recorder.
    """

    def __init__(
        self,
        folder: RunFolder,
        fit: Fit,
        splits: Splits,
        config: Config,
        point: ResumePoint | None = None,
        *,
        sharing: int = 1,
    ) -> None:
        checkpoint = point.checkpoint if point else None
        self._folder = folder
        self._fit = fit
        self._config, self._sharing = config, sharing
        scalings = (splits.input_scaling, splits.target_scaling)
        self._make = CheckpointMaker(config, splits.info, *scalings, fit.arithmetic)
        self._rows = list(point.rows) if point else []
        self._seconds_before = sum(row["epoch_seconds"] for row in self._rows)
        self._start = self._last_save = time.perf_counter()
        self._saved = fit.position  # before the first step, there is nothing to save
        self._unsaved_best: Checkpoint | None = None
        self._best_sha256 = checkpoint.best_sha256 if checkpoint else None
        self._log_sha256 = log_digest(self._rows)
        self._unsynced = False
        self._is_new = point is None  # else `rewrite_log` has made the files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Write a summary for every way the run can end, except a kill."""
        if isinstance(error, Interrupted):
            self.close("interrupted")
        elif error is not None:
            statuses = {DivergedError: "diverged", KeyboardInterrupt: "interrupted"}  # Ctrl-C within a step
            status = next((name for kind, name in statuses.items() if isinstance(error, kind)), "failed")
            with contextlib.suppress(DataError):  # e.g. the disk is full, which `error` already reports
                self.close(status, is_sound=False, error=str(error))

    def handle(self, event: Event) -> None:
        """Log a completed epoch and save checkpoints when they are due."""
        if isinstance(event, StepEnded):
            self._save_after(self._config.checkpoint.every_seconds)
        elif isinstance(event, EpochEnded):
            row = epoch_row(event)
            self._rows.append(row)
            self._log_sha256 = chain_row(self._log_sha256, row)
            append_row(self._folder.path, row, is_first=len(self._rows) == 1)
            if event.trace is not None:
                append_trace(self._folder.path, event.epoch, event.trace)
            self._unsynced = True
            if event.is_best:
                self._unsaved_best = self._make.best(self._fit.parameters(), self._fit.position, row)
            self._save_after(SAVE_SECONDS * self._sharing)
        elif isinstance(event, FitEnded):
            self.close("finished" if event.reason == "epochs" else "stopped early")

    def save(self) -> None:
        """Write the checkpoint `best`, if there is a new best model, and then `last`.

        The log and `best` reach the disk before the `last` that refers to them. The best model that the old `last`
        refers to is kept as `best-previous`.
        """
        if self._fit.position == self._saved:
            return
        state = self._fit.state()
        self._save_best()
        last = self._make.last(state, self._rows[-1] if self._rows else None, self._best_sha256, self._log_sha256)
        save_checkpoint(self._folder.checkpoint("last"), last, previous=self._folder.checkpoint("previous"))
        self._saved, self._last_save = state.position, time.perf_counter()

    def _save_best(self) -> None:
        if self._unsynced:
            sync_log(self._folder.path, is_new=self._is_new)
            self._unsynced = self._is_new = False
        if self._unsaved_best is not None:
            kept = self._folder.checkpoint("best-previous")
            best = self._folder.checkpoint("best")
            self._best_sha256 = save_checkpoint(best, self._unsaved_best, previous=kept)
            self._unsaved_best = None

    def _save_after(self, seconds: float) -> None:
        if time.perf_counter() - self._last_save >= seconds:
            self.save()

    def close(self, status: str, *, is_sound: bool = True, **more: Any) -> None:
        """Write unsaved checkpoints and the summary.

        Args:
            status: finished, stopped early, interrupted, diverged or failed.
            is_sound: Whether to save the current model; False after divergence and other errors.
            more: Additional entries of the summary.
        """
        if is_sound:
            self.save()
        else:
            self._save_best()
        summary = summarize(self._rows, self._fit.best_epoch, self._config.checkpoint.monitor, self._best_sha256)
        seconds = self._seconds_before + (time.perf_counter() - self._start) / self._sharing
        write_json(self._folder.summary, {"status": status, **summary, "seconds": seconds, **more})
