"""Progress of a training: epochs, steps, running loss, best values and learning rate."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor

from dlcli.config.schema import Config
from dlcli.errors import DivergedError
from dlcli.training.events import FitEndReason
from dlcli.training.schedule import Schedule
from dlcli.training.state import Monitor, Position, TrainingState


class Progress:
    """Progress of a training: everything that changes between steps or epochs, except the model and its optimizer.

    Args:
        config: Config of the training.
        steps_per_epoch: Number of optimizer updates per epoch.

    Attributes:
        epochs: Number of completed epochs.
        running: Running loss and speed of the current epoch.
        best: Monitor of the best checkpoint.
    """

    def __init__(self, config: Config, steps_per_epoch: int) -> None:
        self._config = config
        self._schedule = Schedule(config.scheduler, config.training.epochs, steps_per_epoch)
        self._stopping = Monitor.of(config.early_stopping.monitor, config.early_stopping.min_delta)
        self.best = Monitor.of(config.checkpoint.monitor)
        self.epochs, self.running = 0, Running(steps_before=0)

    @property
    def position(self) -> Position:
        """Number of completed epochs, steps, and examples of the current epoch."""
        return Position(self.epochs, self.running.step, self.running.examples)

    def lr(self, step: int) -> float:
        """Return the learning rate of a step of the current epoch."""
        return self._config.optimizer.lr * self._schedule.factor(step)

    def reason_to_end(self) -> FitEndReason | None:
        """Return the reason to end training; None if another epoch follows."""
        if self.epochs >= self._config.training.epochs:
            return "epochs"
        patience = self._config.early_stopping.patience or math.inf
        return "early_stopping" if self.epochs - self._stopping.best_epoch >= patience else None

    def end_epoch(self, metrics: Mapping[str, float]) -> bool:
        """End the current epoch with its metrics; return whether the metric of `best` has improved."""
        epoch = self.epochs + 1
        self._schedule.epoch_ended(metrics["loss"])
        self._stopping.update(epoch, metrics)
        self.epochs, self.running = epoch, Running(steps_before=self.running.step)
        return self.best.update(epoch, metrics)

    def check_finite(self, value: float, name: str, step: int | None = None) -> None:
        """Check that a value is finite; the error names the current epoch and the step, by default the last one.

        Raises:
            DivergedError: If the value is not finite.
        """
        if not math.isfinite(value):
            step = self.running.step if step is None else step
            raise DivergedError(
                f"training diverged: {name} is {value} in epoch {self.epochs + 1}, step {step}",
                hint="reduce optimizer.lr or set training.gradient_clip_norm=1",
            )

    def check_losses(self, losses: Sequence[float], total: float, steps: range) -> None:
        """Raise the error for several steps whose total loss is not finite.

        Args:
            losses: Mean loss of each step.
            total: Sum of the losses, which can overflow although each loss is finite.
            steps: Numbers of the steps.

        Raises:
            DivergedError: Always; it names the first step whose loss is not finite, or else the last step.
        """
        pairs = zip(steps, losses, strict=True)
        step, loss = next((pair for pair in pairs if not math.isfinite(pair[1])), (steps[-1], total))
        self.check_finite(loss, "train/loss", step)

    def state(self) -> dict[str, Any]:
        """Return a copy of the progress, as fields of `TrainingState`."""
        return {
            "position": self.position,
            "sums": self.running.sums(),
            "best": copy(self.best),
            "stopping": copy(self._stopping),
            "plateau": copy(self._schedule.plateau),
        }

    def restore(self, state: TrainingState, device: torch.device) -> None:
        """Restore the progress of a state; the sums are kept on the device."""
        self.best, self._stopping, self._schedule.plateau = copy(state.best), copy(state.stopping), copy(state.plateau)
        self.epochs = state.position.epochs
        self.running = Running(state.position.step, state.position.examples)
        self.running.restore(state.sums["loss"].to(device), state.sums["weight"].to(device))


class Running:
    """Running loss and speed of the current epoch; the sums stay on the device.

    Args:
        steps_before: Number of optimizer updates before this epoch.
        examples: Number of examples of this epoch that were processed before the run was resumed.
    """

    def __init__(self, steps_before: int, examples: int = 0) -> None:
        self.step = steps_before
        self.examples = examples
        self._loss_sum: Tensor | float = 0.0
        self._weight: Tensor | float = 0.0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Start the measurement of speed."""
        self._start = self._last_report = time.perf_counter()
        self._examples_before = self.examples

    def restore(self, loss_sum: Tensor, weight: Tensor) -> None:
        """Set the sums over the examples that were processed before the run was resumed."""
        self._loss_sum, self._weight = loss_sum, weight

    def add(self, loss_sum: Tensor, weight: Tensor, examples: int, steps: int) -> None:
        """Add the results of a chunk; see `Step.run`."""
        self._loss_sum = self._loss_sum + loss_sum
        self._weight = self._weight + weight
        self.examples += examples
        self.step += steps

    def sums(self) -> dict[str, Tensor]:
        """Return the sums over the examples of the epoch so far, for `TrainingState`."""
        return {"loss": torch.as_tensor(self._loss_sum).cpu(), "weight": torch.as_tensor(self._weight).cpu()}

    def seconds_since_report(self) -> float:
        """Return the seconds since the last call of `look`."""
        return time.perf_counter() - self._last_report

    def look(self) -> tuple[float, float]:
        """Return the mean loss and the examples per second so far; synchronises with the device."""
        mean = float(self._loss_sum) / float(self._weight)
        self._last_report = time.perf_counter()
        return mean, (self.examples - self._examples_before) / (self._last_report - self._start)
