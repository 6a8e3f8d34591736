"""The optimizer and the learning-rate schedule that a config describes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

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


class Optimizer(Protocol):
    """Turns gradients into updates.

    These are torch's own updates, called as functions: the first optimizer *object* of torch.optim imports
    torch._dynamo, which takes a second that short runs notice. The bits are the same, which a test holds.
    """

    parameters: list[Tensor]

    def step(self, lr: float) -> None:
        """Change the parameters against their gradients, which must be there."""


class Sgd:
    """torch.optim.SGD's update."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: SgdOptimizer) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self._config = config
        self._momenta: list[Tensor | None] = [None] * len(self.parameters)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Change the parameters against their gradients, which must be there."""
        sgd(
            self.parameters,
            _gradients(self.parameters),
            self._momenta,
            lr=lr,
            momentum=self._config.momentum,
            weight_decay=self._config.weight_decay,
            nesterov=self._config.nesterov,
            dampening=0.0,
            maximize=False,
        )


class Adam:
    """torch.optim.Adam's and AdamW's update: they differ in how weights decay."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: AdamOptimizer) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self._config = config
        self._update = adamw if isinstance(config, AdamWOptimizer) else adam
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = [torch.tensor(0.0) for _ in self.parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Change the parameters against their gradients, which must be there."""
        self._update(
            self.parameters,
            _gradients(self.parameters),
            self._means,
            self._squares,
            [],
            self._steps,
            lr=lr,
            beta1=self._config.betas[0],
            beta2=self._config.betas[1],
            weight_decay=self._config.weight_decay,
            eps=self._config.eps,
            amsgrad=False,
            maximize=False,
        )


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    gradients = [parameter.grad for parameter in parameters]
    assert all(gradient is not None for gradient in gradients), "every parameter takes part in the loss"
    return cast(list[Tensor], gradients)


def build_optimizer(parameters: Iterable[nn.Parameter], config: AnyOptimizer) -> Optimizer:
    """Return the optimizer with the config's settings; the learning rate is each step's."""
    return Sgd(parameters, config) if isinstance(config, SgdOptimizer) else Adam(parameters, config)


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
