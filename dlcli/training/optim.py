"""The optimizer and the learning-rate schedule that a config describes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

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
    SgdOptimizer,
    StepScheduler,
)


class Optimizer(Protocol):
    """Turns gradients into updates, bit for bit those of the class of the same name in torch.optim.

    Written out, because the first optimizer object of torch.optim imports torch._dynamo, which takes a second that
    short runs notice, and because its calls take as long as a small model's products.
    """

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Change the parameters against their gradients, one each, whose memory may be used."""


class Sgd:
    """Stochastic gradient descent with momentum (Sutskever et al., 2013, with v not scaled by lr)."""

    def __init__(self, parameters: Sequence[Tensor], config: SgdOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._velocities: list[Tensor] = []

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config = self._config
        if config.weight_decay:
            gradients = [g.add(p, alpha=config.weight_decay) for p, g in zip(self._parameters, gradients, strict=True)]
        if config.momentum:
            gradients = self._with_momentum(gradients)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.add_(gradient, alpha=-lr)

    def _with_momentum(self, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        momentum = self._config.momentum
        if self._velocities:
            for velocity, gradient in zip(self._velocities, gradients, strict=True):
                velocity.mul_(momentum).add_(gradient)
        else:
            self._velocities = [gradient.clone() for gradient in gradients]
        if not self._config.nesterov:
            return self._velocities
        return [g.add(v, alpha=momentum) for g, v in zip(gradients, self._velocities, strict=True)]


class Adam:
    """Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), which differ in how weights decay."""

    def __init__(self, parameters: Sequence[Tensor], config: AdamOptimizer) -> None:
        self._parameters = parameters
        self._config = config
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """See `Optimizer.step`."""
        config, (beta1, beta2) = self._config, self._config.betas
        self._steps += 1
        step_size = lr / (1 - beta1**self._steps)
        correction = math.sqrt(1 - beta2**self._steps)
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._means, self._squares, strict=True
        ):
            if isinstance(config, AdamWOptimizer):
                parameter.mul_(1 - lr * config.weight_decay)
            elif config.weight_decay:
                gradient = gradient.add(parameter, alpha=config.weight_decay)
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            spread = square.sqrt().div_(correction).add_(config.eps)
            parameter.addcdiv_(mean, spread, value=-step_size)


def build_optimizer(parameters: Sequence[Tensor], config: AnyOptimizer) -> Optimizer:
    """Return the optimizer with the config's settings; the learning rate is each step's."""
    return Sgd(parameters, config) if isinstance(config, SgdOptimizer) else Adam(parameters, config)


@torch.no_grad()
def clip_norm_(gradients: Sequence[Tensor], max_norm: float) -> None:
    """Scale gradients in place so that their Euclidean norm, taken together, is at most `max_norm`.

    Computed as torch.nn.utils.clip_grad_norm_ does it, 1e-6 and all.
    """
    norm = nn.utils.get_total_norm(gradients)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)


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
