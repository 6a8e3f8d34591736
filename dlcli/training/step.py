"""Optimizer steps: forward pass, loss, backward pass and update of the parameters.

`EagerStep` is the lecture's algorithm with autograd. `fast.step.ManualStep` computes the same step from written-out
formulas; the two differ by rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.batches import examples_per_batch
from dlcli.training.fast.step import ManualStep
from dlcli.training.optim import build_optimizer, clip_norm_
from dlcli.training.shared_step import build_shared_step
from dlcli.training.world import ALONE, World


class Step(Protocol):
    """Training of a model on batches of a split."""

    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one step per learning rate.

        Args:
            index: Positions of the examples, int64 on the device of `train`, to be cut into batches. None uses the
                whole split as one batch.
            lrs: Learning rate of each step.

        Returns:
            The sum of the weighted losses of the examples, each computed before its step, and the sum of the weights:
            scalars on the device.
        """

    def update_model(self) -> None:
        """Copy the current parameters into the model."""

    def losses(self) -> Tensor:
        """Return the mean loss of each step of the last run, computed before the step."""

    def state(self) -> dict[str, list[Tensor]]:
        """Return the optimizer state by name: one tensor for each parameter, of the parameter's shape."""

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """Restore the state returned by `state` after `steps` steps. The model must hold the matching parameters."""


class EagerStep:
    """Steps with autograd, bit-identical to a plain torch loop.

    Args:
        model: Model to train in place.
        task: Defines the loss.
        train: Training split, on the model's device, or on the CPU if it does not fit there.
        config: Only `optimizer` and `training` are used.
    """

    def __init__(self, model: nn.Sequential, task: Task, train: Split, config: Config) -> None:
        self._model = model
        self._task = task
        self._train = train
        self._batch_size = examples_per_batch(len(train), config.training.batch_size)
        self._is_bf16 = config.training.precision == "bf16"
        self._clip_norm = config.training.gradient_clip_norm
        self._parameters = list(model.parameters())
        self._optimizer = build_optimizer([parameter.detach() for parameter in self._parameters], config.optimizer)
        self._losses: list[Tensor] = []

    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """See `Step.run`."""
        self._model.train()
        batches = [self._train] if index is None else map(self._train.select, index.split(self._batch_size))
        device, dtype = self._parameters[0].device, self._train.dtype
        self._losses, weights = [], []
        for batch, lr in zip((batch.to(device, dtype) for batch in batches), lrs, strict=True):
            weights.append(self._task.weight(batch.targets, dtype))
            self._losses.append(self._take(batch, lr))
        sums = [loss * weight for loss, weight in zip(self._losses, weights, strict=True)]
        return torch.stack(sums).sum(), torch.stack(weights).sum()

    def _take(self, batch: Split, lr: float) -> Tensor:
        """Take one step: forward, loss, backward, update. Return the mean loss of the batch before the update."""
        with self._rounding(batch):
            outputs = self._model(batch.inputs)  # forward: f(X, θ)
            loss = self._task.loss(outputs, batch.targets)  # loss: L(X, Y, θ)
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # backward: J ← ∇_θ L
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        assert len(gradients) == len(self._parameters), "every parameter takes part in the loss"
        if self._clip_norm is not None:
            clip_norm_(gradients, self._clip_norm)
        self._optimizer.step(gradients, lr)  # update: θ ← θ − α J
        return loss.detach()

    def _rounding(self, batch: Split) -> AbstractContextManager[object]:
        return torch.autocast(batch.device.type, torch.bfloat16) if self._is_bf16 else nullcontext()

    def update_model(self) -> None:
        """Do nothing: the steps change the model in place."""

    def losses(self) -> Tensor:
        """See `Step.losses`."""
        return torch.stack(self._losses)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Step.state`."""
        return self._optimizer.state()

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.load_state`."""
        device = self._parameters[0].device
        moved = {name: [value.to(device) for value in values] for name, values in memory.items()}
        self._optimizer.load_state(moved, steps)


def build_step(
    model: nn.Sequential,
    task: Task,
    train: Split,
    config: Config,
    arithmetic: Arithmetic,
    generator: torch.Generator | None = None,
    world: World = ALONE,
) -> Step:
    """Return the step selected by `arithmetic`.

    Args:
        model: Model to train in place.
        task: Defines the loss.
        train: Training split, on the model's device, or on the CPU if it does not fit there.
        config: Only `optimizer` and `training` are used.
        arithmetic: Result of `choose_arithmetic`, or the arithmetic of the resumed run.
        generator: Random generator of dropout for `ManualStep`; None uses torch's default generator.
        world: Processes that train the model together.
    """
    if not world.is_alone:
        return build_shared_step(model, task, train, config, world, is_manual=arithmetic.step == "manual")
    if arithmetic.step == "eager":
        return EagerStep(model, task, train, config)
    return ManualStep(model, task, train, config, arithmetic.library, generator)
