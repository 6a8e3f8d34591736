"""Learning-rate schedules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlcli.config.schema import (
    AnyScheduler,
    ConstantScheduler,
    CosineScheduler,
    ExponentialScheduler,
    OneCycleScheduler,
    PlateauScheduler,
    StepScheduler,
)


@dataclass
class Plateau:
    """State of the scheduler `plateau`.

    Attributes:
        factor: Current factor of the learning rate.
        best_val_loss: Lowest monitored loss so far; None before the first epoch has ended.
        bad_epochs: Number of consecutive epochs without a lower loss.
    """

    factor: float = 1.0
    best_val_loss: float | None = None
    bad_epochs: int = 0

    def epoch_ended(self, config: PlateauScheduler, loss: float) -> None:
        """Update the factor with the loss of an epoch."""
        if self.best_val_loss is None or loss < self.best_val_loss:
            self.best_val_loss, self.bad_epochs = loss, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs > config.patience:
            self.factor *= config.factor
            self.bad_epochs = 0


class Schedule:
    """Learning-rate schedule: a function of the step alone, except for `plateau`, which depends on the monitored loss.

    Args:
        config: Scheduler section of the config.
        epochs: Number of epochs of the whole run.
        steps_per_epoch: Number of optimizer updates per epoch.
    """

    def __init__(self, config: AnyScheduler, epochs: int, steps_per_epoch: int) -> None:
        self._config = config
        self._total = epochs * steps_per_epoch
        self._steps_per_epoch = steps_per_epoch
        self._warmup = round(config.warmup_epochs * steps_per_epoch)
        self.plateau = Plateau()

    def factor(self, step: int) -> float:
        """Return the factor of the learning rate in `step`, counted from 1 over the whole run."""
        done = step - 1
        if done < self._warmup:
            return step / self._warmup * self._shape(self._warmup)
        return self._shape(done)

    def _shape(self, done: int) -> float:
        """Return the factor after `done` steps, without the scaling of the warm-up; cosines start after the warm-up."""
        epochs_done = done // self._steps_per_epoch
        since_warmup, steps = done - self._warmup, self._total - self._warmup
        match self._config:
            case ConstantScheduler():
                return 1.0
            case CosineScheduler(final_fraction=final):
                return _cosine(1.0, final, since_warmup / steps)
            case StepScheduler(step_size=step_size, gamma=gamma):
                return gamma ** (epochs_done // step_size)
            case ExponentialScheduler(gamma=gamma):
                return gamma**epochs_done
            case OneCycleScheduler():
                return _one_cycle(self._config, since_warmup, steps)
            case PlateauScheduler():
                return self.plateau.factor

    def epoch_ended(self, loss: float) -> None:
        """Pass the monitored loss of an epoch to `plateau`; other schedulers ignore it."""
        if isinstance(self._config, PlateauScheduler):
            self.plateau.epoch_ended(self._config, loss)


def _cosine(start: float, end: float, progress: float) -> float:
    """Return the value at `progress` of half a cosine wave from `start` (progress 0) to `end` (progress 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _one_cycle(config: OneCycleScheduler, done: int, steps: int) -> float:
    """Return the factor of torch.optim.lr_scheduler.OneCycleLR with two cosine phases."""
    peak = config.rise_fraction * steps - 1
    if done <= peak:
        return _cosine(config.initial_fraction, 1.0, done / peak if peak > 0 else 1.0)
    return _cosine(1.0, config.final_fraction, (done - peak) / (steps - 1 - peak))
