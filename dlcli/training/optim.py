"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

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
    RmspropOptimizer,
    SgdOptimizer,
    StepScheduler,
)

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]


class Optimizer(Protocol):
    """Optimizer, bit-identical to the class of the same name in torch.optim.

    The first object of torch.optim imports torch._dynamo, which takes a second, and its calls take as long as the
    matrix products of a small model. The optimizers here update all parameters with a few calls instead.
    """

    def step(self, gradients: list[Tensor], lr: float) -> None:
        """Update the parameters with one gradient each; the gradients may be overwritten."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return the optimizer state by name: one tensor for each parameter, of the parameter's shape."""

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """Restore the state returned by `state` after `steps` steps."""


class Sgd:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, with v not scaled by lr)."""

    def __init__(self, parameters: list[Tensor], config: SgdOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._velocities: list[Tensor] = []

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config = self._config
        updates: Tensors = gradients
        if config.weight_decay:
            updates = torch._foreach_add(updates, self._parameters, alpha=config.weight_decay)
        if config.momentum and not self._velocities:
            self._velocities = [update.clone() for update in updates]
        elif config.momentum:
            torch._foreach_mul_(self._velocities, config.momentum)
            torch._foreach_add_(self._velocities, updates)
        if config.momentum:
            ahead = torch._foreach_add(updates, self._velocities, alpha=config.momentum) if config.nesterov else None
            updates = ahead or self._velocities
        torch._foreach_add_(self._parameters, updates, alpha=-lr)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"velocity": self._velocities} if self._velocities else {}

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`."""
        self._velocities = memory.get("velocity", [])


class Adam:
    """Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), which differ in how weights decay."""

    def __init__(self, parameters: list[Tensor], config: AdamOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config, (beta1, beta2) = self._config, self._config.betas
        self._steps += 1
        updates: Tensors = gradients
        step_size = lr / (1 - beta1**self._steps)
        correction = math.sqrt(1 - beta2**self._steps)
        if isinstance(config, AdamWOptimizer):
            torch._foreach_mul_(self._parameters, 1 - lr * config.weight_decay)
        elif config.weight_decay:
            updates = torch._foreach_add(gradients, self._parameters, alpha=config.weight_decay)
        torch._foreach_lerp_(self._means, updates, 1 - beta1)
        torch._foreach_mul_(self._squares, beta2)
        torch._foreach_addcmul_(self._squares, updates, updates, value=1 - beta2)
        spreads = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(spreads, correction)
        torch._foreach_add_(spreads, config.eps)
        torch._foreach_addcdiv_(self._parameters, self._means, spreads, value=-step_size)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"mean": self._means, "square": self._squares}

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Optimizer.load_state`."""
        self._means, self._squares, self._steps = memory["mean"], memory["square"], steps


class Rmsprop:
    """RMSprop (Tieleman and Hinton, 2012), as in torch: not centered, momentum of the scaled gradients."""

    def __init__(self, parameters: list[Tensor], config: RmspropOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._velocities = [torch.zeros_like(parameter) for parameter in parameters] if config.momentum else []

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        updates, spreads = self._measure(gradients)
        if self._config.momentum:
            torch._foreach_mul_(self._velocities, self._config.momentum)
            torch._foreach_addcdiv_(self._velocities, updates, spreads)
            torch._foreach_add_(self._parameters, self._velocities, alpha=-lr)
        else:
            torch._foreach_addcdiv_(self._parameters, updates, spreads, value=-lr)

    def _measure(self, gradients: list[Tensor]) -> tuple[Tensors, Tensors]:
        """Update the mean squares; return the gradients with weight decay, and their divisors."""
        config = self._config
        updates: Tensors = gradients
        if config.weight_decay:
            updates = torch._foreach_add(gradients, self._parameters, alpha=config.weight_decay)
        torch._foreach_mul_(self._squares, config.alpha)
        torch._foreach_addcmul_(self._squares, updates, updates, value=1 - config.alpha)
        spreads = torch._foreach_sqrt(self._squares)
        torch._foreach_add_(spreads, config.eps)
        return updates, spreads

    def state(self) -> dict[str, list[Tensor]]:
        """See `Optimizer.state`."""
        return {"square": self._squares} | ({"velocity": self._velocities} if self._velocities else {})

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:  # noqa: ARG002
        """See `Optimizer.load_state`."""
        self._squares, self._velocities = memory["square"], memory.get("velocity", [])


def build_optimizer(parameters: list[Tensor], config: AnyOptimizer) -> Optimizer:
    """Return the optimizer of a config; the learning rate is passed to each step."""
    match config:
        case SgdOptimizer():
            return Sgd(parameters, config)
        case RmspropOptimizer():
            return Rmsprop(parameters, config)
        case AdamOptimizer():
            return Adam(parameters, config)


@torch.no_grad()
def clip_norm_(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale gradients in place so that their joint Euclidean norm is at most `max_norm`.

    Same formula as torch.nn.utils.clip_grad_norm_, including its 1e-6.
    """
    norm = nn.utils.get_total_norm(gradients)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)


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
        """Return the factor after `done` steps without the warm-up; cosines start at the end of the warm-up."""
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
