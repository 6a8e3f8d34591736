"""Optimizer steps, by autograd or by the formulas written out: the same numbers, but for rounding."""

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


class Step(Protocol):
    """Trains a model on batches of a split."""

    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Take one step per learning rate.

        Args:
            index: Which examples, in order, int64 on the device of `train`; cut into batches from its start. None
                takes the whole split as one batch.
            lrs: Learning rate of each step.

        Returns:
            The sum of the examples' losses, each before its step and times its weight, and the sum of the weights:
            scalars, still on the device.
        """

    def update_model(self) -> None:
        """Bring the model up to date with the steps taken."""

    def losses(self) -> Tensor:
        """Return the mean loss of each step of the last run, before the step."""

    def memory(self) -> dict[str, list[Tensor]]:
        """Return what the optimizer remembers: by name, a tensor for each of the model's parameters, shaped like it."""

    def remember(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """Go on from what `memory` returned after so many steps; the model was that of then when this was built."""


class EagerStep:
    """Steps by autograd, bit for bit those of a plain torch loop.

    Args:
        model: Changed in place.
        task: Gives the loss.
        train: On the model's device, or on the CPU if it doesn't fit there.
        config: `optimizer` and `training`.
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
            weights.append(self._task.weight(batch.targets))
            self._losses.append(self._take(batch, lr))
        sums = [loss * weight for loss, weight in zip(self._losses, weights, strict=True)]
        return torch.stack(sums).sum(), torch.stack(weights).sum()

    def _take(self, batch: Split, lr: float) -> Tensor:
        """Take one step; return the batch's mean loss before it."""
        with self._rounding(batch):
            loss = self._task.loss(self._model(batch.inputs), batch.targets)
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        assert len(gradients) == len(self._parameters), "every parameter takes part in the loss"
        if self._clip_norm is not None:
            clip_norm_(gradients, self._clip_norm)
        self._optimizer.step(gradients, lr)
        return loss.detach()

    def _rounding(self, batch: Split) -> AbstractContextManager[object]:
        return torch.autocast(batch.device.type, torch.bfloat16) if self._is_bf16 else nullcontext()

    def update_model(self) -> None:
        """Do nothing: the model is always up to date."""

    def losses(self) -> Tensor:
        """See `Step.losses`."""
        return torch.stack(self._losses)

    def memory(self) -> dict[str, list[Tensor]]:
        """See `Step.memory`."""
        return self._optimizer.memory()

    def remember(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.remember`."""
        device = self._parameters[0].device
        self._optimizer.remember({name: [one.to(device) for one in kept] for name, kept in memory.items()}, steps)


def build_step(model: nn.Sequential, task: Task, train: Split, config: Config, arithmetic: Arithmetic) -> Step:
    """Return the step that `arithmetic` names.

    Args:
        model: Changed in place.
        task: Gives the loss.
        train: On the model's device, or on the CPU if it doesn't fit there.
        config: `optimizer` and `training`.
        arithmetic: From `choose_arithmetic`, or of the run that continues.
    """
    if arithmetic.step == "eager":
        return EagerStep(model, task, train, config)
    return ManualStep(model, task, train, config, arithmetic.library)
