"""The optimizer and the learning-rate schedule that a config describes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from dlcli.config.schema import (
    AdamOptimizer,
    AdamWOptimizer,
    AnyOptimizer,
    AnyScheduler,
    ConstantScheduler,
    CosineScheduler,
    ExponentialScheduler,
    OneCycleScheduler,
    PlateauScheduler,
    SgdOptimizer,
    StepScheduler,
)


def build_optimizer(parameters: Iterable[nn.Parameter], config: AnyOptimizer) -> torch.optim.Optimizer:
    """Return torch's own optimizer with the config's settings."""
    match config:
        case SgdOptimizer():
            return torch.optim.SGD(
                parameters,
                lr=config.lr,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                nesterov=config.nesterov,
            )
        case AdamWOptimizer():
            return torch.optim.AdamW(
                parameters, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
            )
        case AdamOptimizer():
            return torch.optim.Adam(
                parameters, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
            )


class Schedule:
    """The learning rate of each step: a pure function of the step, but for `plateau`, which looks at val/loss.

    Args:
        config: The shape, and `warmup_epochs`.
        epochs: Of the whole run.
        steps_per_epoch: Optimizer updates in an epoch.
    """

    def __init__(self, config: AnyScheduler, epochs: int, steps_per_epoch: int) -> None:
        self._config = config
        self._total = epochs * steps_per_epoch
        self._steps_per_epoch = steps_per_epoch
        self._warmup = round(config.warmup_epochs * steps_per_epoch)
        self._plateau_factor = 1.0
        self._best_val_loss = math.inf
        self._bad_epochs = 0

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by in `step`, counted from 1 over the whole run."""
        done = step - 1
        if done < self._warmup:
            return step / self._warmup * self._shape(self._warmup)
        return self._shape(done)

    def _shape(self, done: int) -> float:
        """Return the factor after `done` steps, warm-up apart; cosines begin where the warm-up ends."""
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
                return self._plateau_factor

    def epoch_ended(self, val_loss: float) -> None:
        """Take note of the validation loss after an epoch; only `plateau` acts on it."""
        if not isinstance(self._config, PlateauScheduler):
            return
        if val_loss < self._best_val_loss:
            self._best_val_loss, self._bad_epochs = val_loss, 0
        else:
            self._bad_epochs += 1
        if self._bad_epochs > self._config.patience:
            self._plateau_factor *= self._config.factor
            self._bad_epochs = 0


def _cosine(start: float, end: float, progress: float) -> float:
    """Return half a cosine wave from `start` (progress 0) to `end` (progress 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _one_cycle(config: OneCycleScheduler, done: int, steps: int) -> float:
    """Return the factor as torch.optim.lr_scheduler.OneCycleLR has it, with two cosine phases."""
    peak = config.rise_fraction * steps - 1
    if done <= peak:
        return _cosine(config.initial_fraction, 1.0, done / peak if peak > 0 else 1.0)
    return _cosine(1.0, config.final_fraction, (done - peak) / (steps - 1 - peak))
