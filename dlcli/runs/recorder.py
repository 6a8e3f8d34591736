"""Events -> the run folder: nothing that was learned is lost when the process ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from dlcli.config.render import deciding_settings
from dlcli.config.schema import HIGHER_IS_BETTER, Config
from dlcli.data.splits import Splits
from dlcli.errors import DataError, DivergedError, Interrupted
from dlcli.runs.checkpoint import Checkpoint, save_checkpoint
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import Row, append_row, append_trace, epoch_row, row_metrics, sync_log
from dlcli.training.events import EpochEnded, Event, FitEnded, StepEnded
from dlcli.training.fit import Fit
from dlcli.training.state import Position, TrainingState

SAVE_SECONDS = 1.0  # epochs may be shorter than a write is long; a kill costs this much training at most


class Recorder:
    """Keeps the checkpoints, the metrics log and the summary of one run.

    Args:
        folder: The run's, which this process owns.
        fit: What trains; its state is taken between events.
        splits: Give the scaling that predictions need.
        config: Its checkpoints say how often `last` is written, and what `best` is chosen by.
        rows: The log so far, of a run that goes on.
    """

    def __init__(self, folder: RunFolder, fit: Fit, splits: Splits, config: Config, rows: Sequence[Row] = ()) -> None:
        self._folder = folder
        self._fit = fit
        self._splits = splits
        self._config = config.checkpoint
        self._settings = deciding_settings(config)
        self._rows = list(rows)
        self._seconds_before = sum(row["epoch_seconds"] for row in rows)
        self._start = self._last_save = time.perf_counter()
        self._saved: Position | None = fit.position if rows else None
        self._unsaved_best: Checkpoint | None = None
        self._unsynced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Leave a summary behind however the run ends, short of a kill."""
        if isinstance(error, Interrupted):
            self.close("interrupted")
        elif error is not None:
            status = "diverged" if isinstance(error, DivergedError) else "failed"
            with contextlib.suppress(DataError):  # the disk may be full: that is said already
                self.close(status, is_sound=False, error=str(error))

    def handle(self, event: Event) -> None:
        """Save what an event is worth saving."""
        if isinstance(event, StepEnded):
            self._save_after(self._config.every_seconds)
        elif isinstance(event, EpochEnded):
            row = epoch_row(event)
            self._rows.append(row)
            append_row(self._folder.path, row, is_first=len(self._rows) == 1)
            if event.trace is not None:
                append_trace(self._folder.path, event.epoch, event.trace)
            self._unsynced = True
            if event.is_best:
                self._unsaved_best = self._checkpoint(self._fit.parameters())
            self._save_after(SAVE_SECONDS)
        elif isinstance(event, FitEnded):
            self.close("finished" if event.reason == "epochs" else "stopped early")

    def save(self) -> None:
        """Write a new best model as checkpoint `best`, and all that training goes on from as `last`.

        In this order, the log first: whatever `last` builds upon is safe before it is.
        """
        if self._fit.position == self._saved:
            return
        state = self._fit.state()
        self._save_best()
        last = self._checkpoint(state.parameters, state)
        save_checkpoint(self._folder.checkpoint("last"), last, previous=self._folder.checkpoint("previous"))
        self._saved, self._last_save = state.position, time.perf_counter()

    def _save_best(self) -> None:
        if self._unsynced:
            sync_log(self._folder.path)
            self._unsynced = False
        if self._unsaved_best is not None:
            save_checkpoint(self._folder.checkpoint("best"), self._unsaved_best)
            self._unsaved_best = None

    def _save_after(self, seconds: float) -> None:
        if time.perf_counter() - self._last_save >= seconds:
            self.save()

    def _checkpoint(self, parameters: Mapping[str, Tensor], state: TrainingState | None = None) -> Checkpoint:
        position = self._fit.position
        return Checkpoint(
            parameters=parameters,
            input_scaling=self._splits.input_scaling,
            target_scaling=self._splits.target_scaling,
            epoch=position.epochs + (position.examples > 0),
            step=position.step,
            monitor=self._config.monitor,
            val=row_metrics(self._rows[-1]) if self._rows else {},
            settings=self._settings,
            training=state,
        )

    def close(self, status: str, *, is_sound: bool = True, **more: Any) -> None:
        """Write what is unsaved, and the summary: how the run ended, its best epoch and why that is the best.

        Args:
            status: finished, stopped early, interrupted, diverged or failed.
            is_sound: Whether the model as it is now is worth keeping; a diverged one is not.
            more: Further entries.
        """
        if is_sound:
            self.save()
        else:
            self._save_best()
        best = self._rows[self._fit.best_epoch - 1] if self._rows else None
        metric = self._config.monitor.removeprefix("val/")
        direction = "highest" if metric in HIGHER_IS_BETTER else "lowest"
        write_json(
            self._folder.summary,
            {
                "status": status,
                "epochs": len(self._rows),
                "best_epoch": best["epoch"] if best else None,
                "best_because": f"{direction} {self._config.monitor}" if best else None,
                "train": {"loss": best["train/loss"]} if best else None,
                "val": row_metrics(best) if best else None,
                "seconds": self._seconds_before + time.perf_counter() - self._start,
                **more,
            },
        )
