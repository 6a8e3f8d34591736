"""Events -> the run folder: nothing that was learned is lost when the process ends."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from torch import nn

from dlcli.config.schema import HIGHER_IS_BETTER, CheckpointSection
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError, Interrupted
from dlcli.runs.checkpoint import Checkpoint, save_checkpoint
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import append_row, epoch_row
from dlcli.training.events import EpochEnded, Event, FitEnded, StepEnded

SAVE_SECONDS = 1.0  # epochs may be shorter than a write is long; a kill costs this much training at most


class Recorder:
    """Keeps the checkpoints, the metrics log and the summary of one run.

    Args:
        folder: A new run folder.
        model: The one that is trained; read between events.
        splits: Give the scaling that predictions need.
        config: What the best checkpoint is chosen by, and how often `last` is written.
    """

    def __init__(self, folder: RunFolder, model: nn.Module, splits: Splits, config: CheckpointSection) -> None:
        self._folder = folder
        self._model = model
        self._splits = splits
        self._config = config
        self._start = self._last_save = time.perf_counter()
        self._last: EpochEnded | None = None
        self._best: EpochEnded | None = None
        self._unsaved_best: Checkpoint | None = None
        self._position = (0, 0)  # epoch and step reached

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Leave a summary behind however the run ends, short of a kill."""
        if isinstance(error, Interrupted):
            self.close("interrupted")
        elif isinstance(error, DivergedError):
            self.close("diverged", is_sound=False, error=error.message)
        elif error is not None:
            self.close("failed", is_sound=False, error=str(error))

    def handle(self, event: Event) -> None:
        """Save what an event is worth saving."""
        if isinstance(event, StepEnded):
            self._position = (event.epoch, event.step)
            self._save_after(self._config.every_seconds)
        elif isinstance(event, EpochEnded):
            self._position = (event.epoch, event.step)
            self._last = event
            if event.is_best:
                self._best = event
                self._unsaved_best = self._checkpoint()
            append_row(self._folder.path, epoch_row(event))
            self._save_after(SAVE_SECONDS)
        elif isinstance(event, FitEnded):
            self.close("finished" if event.reason == "epochs" else "stopped early")

    def save(self) -> None:
        """Write the model as it is now as checkpoint `last`, and a new best one as `best`."""
        if self._unsaved_best is not None:
            save_checkpoint(self._folder.checkpoint("best"), self._unsaved_best)
            self._unsaved_best = None
        save_checkpoint(self._folder.checkpoint("last"), self._checkpoint())
        self._last_save = time.perf_counter()

    def _save_after(self, seconds: float) -> None:
        if time.perf_counter() - self._last_save >= seconds:
            self.save()

    def _checkpoint(self) -> Checkpoint:
        """Return a copy of the model as it is now; training goes on without touching it."""
        epoch, step = self._position
        return Checkpoint(
            parameters={name: value.detach().clone() for name, value in self._model.state_dict().items()},
            input_scaling=self._splits.input_scaling,
            target_scaling=self._splits.target_scaling,
            epoch=epoch,
            step=step,
            monitor=self._config.monitor,
            val=self._last.val if self._last else {},
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
        elif self._unsaved_best is not None:
            save_checkpoint(self._folder.checkpoint("best"), self._unsaved_best)
        best = self._best
        metric = self._config.monitor.removeprefix("val/")
        direction = "highest" if metric in HIGHER_IS_BETTER else "lowest"
        write_json(
            self._folder.summary,
            {
                "status": status,
                "epochs": self._last.epoch if self._last else 0,
                "best_epoch": best.epoch if best else None,
                "best_because": f"{direction} {self._config.monitor}" if best else None,
                "train": {"loss": best.train_loss} if best else None,
                "val": dict(best.val) if best else None,
                "seconds": time.perf_counter() - self._start,
                **more,
            },
        )
