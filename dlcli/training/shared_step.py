"""Optimizer steps on batches that several processes compute together, or that are cut into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.batches import examples_per_batch
from dlcli.training.fast.part import ManualGradients
from dlcli.training.generators import generator_states, restore_generators
from dlcli.training.optim import build_optimizer, clip_norm_
from dlcli.training.world import SIGNALS, World

_EXTRA = 2 + len(SIGNALS)  # values after the gradients: loss, weight, stop requests


class Gradients(Protocol):
    """Gradients of a part of a batch.

    Attributes:
        parameters: Memory of the parameters, for the optimizer.
        has_dropout: Whether the model has dropout.
    """

    parameters: list[Tensor]
    has_dropout: bool

    def use(self, gradients: Sequence[Tensor]) -> None:
        """Write all later gradients to this memory, which has the shapes of `parameters`."""

    def compute(self, part: Split, rows: slice, n: int) -> Tensor:
        """Write the gradients of the mean loss of a part, and return that loss.

        Args:
            part: Examples, on the model's device.
            rows: Place of the examples in the batch.
            n: Number of examples of the batch. Dropout draws masks for the whole batch and uses the rows of the part,
                so that the masks are the same as in one process.
        """

    def skip(self, n: int) -> None:
        """Draw the masks of dropout for a batch of n examples although the part is empty, as `compute` would."""

    def update_model(self) -> None:
        """Copy the current parameters into the model."""

    def unpack(self, memory: Sequence[Tensor]) -> list[Tensor]:
        """Convert values from the layout of `parameters` to one tensor for each parameter of the model."""

    def pack(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Convert values to the layout of `parameters`; the inverse of `unpack`."""


class EagerGradients:
    """Gradients from autograd; see `Gradients`.

    Args:
        model: Model to train in place.
        task: Defines the loss.
        is_bf16: Whether products are rounded to bfloat16.
    """

    def __init__(self, model: nn.Sequential, task: Task, *, is_bf16: bool) -> None:
        self._model, self._task, self._is_bf16 = model, task, is_bf16
        self._tensors = list(model.parameters())
        self.parameters = [parameter.detach() for parameter in self._tensors]
        self.has_dropout = any(isinstance(module, nn.Dropout) for module in model)

    def use(self, gradients: Sequence[Tensor]) -> None:
        """See `Gradients.use`."""
        for parameter, gradient in zip(self._tensors, gradients, strict=True):
            parameter.grad = gradient

    def compute(self, part: Split, rows: slice, n: int) -> Tensor:
        """See `Gradients.compute`."""
        self._model.train()
        with self._rounding(part):
            h = part.inputs
            for module in self._model:
                h = h * _mask(h, n, module.p)[rows] if isinstance(module, nn.Dropout) else module(h)
            loss = self._task.loss(h, part.targets)
        for parameter in self._tensors:
            assert parameter.grad is not None, "`use` has set it"
            parameter.grad.zero_()
        loss.backward()
        return loss.detach()

    def skip(self, n: int) -> None:
        """See `Gradients.skip`."""
        h = self.parameters[0]
        for module in self._model:
            if isinstance(module, nn.Linear):
                h = module.bias
            elif isinstance(module, nn.Dropout):
                _mask(h, n, module.p)

    def _rounding(self, part: Split) -> AbstractContextManager[object]:
        return torch.autocast(part.device.type, torch.bfloat16) if self._is_bf16 else nullcontext()

    def update_model(self) -> None:
        """Do nothing: the steps change the model in place."""

    def unpack(self, memory: Sequence[Tensor]) -> list[Tensor]:
        """See `Gradients.unpack`."""
        return list(memory)

    def pack(self, values: Sequence[Tensor]) -> list[Tensor]:
        """See `Gradients.pack`."""
        return list(values)


def _mask(h: Tensor, n: int, p: float) -> Tensor:
    """Return the factors of dropout for n examples with as many units as `h`, drawn as nn.Dropout does."""
    return h.new_empty(n, h.shape[-1]).bernoulli_(1 - p).div_(1 - p)


class SharedStep:
    """Steps on batches of which this process computes only its own parts; see `dlcli.training.step.Step`.

    The gradients, the loss, the weight of the examples and stop requests are stored in one tensor, so that a step needs
    one collective operation. All processes apply the same mean gradient to equal parameters.

    Args:
        source: Gradients of a part.
        task: Defines the weight of examples.
        train: Training split, on the model's device, or on the CPU if it does not fit there.
        config: `optimizer` and `training`.
        world: Processes.
    """

    def __init__(self, source: Gradients, task: Task, train: Split, config: Config, world: World) -> None:
        self._source, self._task, self._train, self._world = source, task, train, world
        self._batch_size = examples_per_batch(len(train), config.training.batch_size)
        self._clip_norm = config.training.gradient_clip_norm
        self._optimizer = build_optimizer(source.parameters, config.optimizer)
        like = source.parameters[0]
        self._size = sum(parameter.numel() for parameter in source.parameters)
        count = len(world.parts(0))
        self._parts = like.new_zeros(count, self._size + _EXTRA)
        self._part = like.new_zeros(self._size)
        source.use(self._views(self._part))
        self._losses: list[Tensor] = []

    def _views(self, flat: Tensor) -> list[Tensor]:
        """Return memory for each parameter in `flat`."""
        pieces = flat.split([parameter.numel() for parameter in self._source.parameters])
        return [piece.view(parameter.shape) for piece, parameter in zip(pieces, self._source.parameters, strict=True)]

    def run(self, index: Tensor | None, lrs: Sequence[float]) -> tuple[Tensor, Tensor]:
        """See `Step.run`; the sums are over all processes."""
        index = torch.arange(len(self._train), device=self._train.device) if index is None else index
        self._losses, weights = [], []
        for batch, lr in zip(index.split(self._batch_size), lrs, strict=True):
            loss, weight = self._take(batch, lr)
            self._losses.append(loss)
            weights.append(weight)
        total = torch.stack(weights)
        return (torch.stack(self._losses) * total).sum(), total.sum()

    def _take(self, batch: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Take one step; return the mean loss of the batch before the step, and the weight of the batch."""
        drawn = generator_states(self._part.device) if self._source.has_dropout else {}
        for values, rows in zip(self._parts, self._world.parts(len(batch)), strict=True):
            restore_generators(drawn, self._part.device)  # each part draws the masks of the whole batch
            self._compute(values, batch, rows)
        total = self._world.total(self._parts)
        self._world.agree(total[-len(SIGNALS) :])
        loss, weight = total[self._size], total[self._size + 1]
        gradients = self._views(total[: self._size].div_(weight))
        if self._clip_norm is not None:
            clip_norm_(gradients, self._clip_norm)
        self._optimizer.step(gradients, lr)
        return loss / weight, weight.clone()

    def _compute(self, values: Tensor, batch: Tensor, rows: slice) -> None:
        """Write the sums over a part of a batch, and the stop request, to `values`; sums over an empty part are 0."""
        values.zero_()
        self._world.request(values[-len(SIGNALS) :])
        if rows.start == rows.stop:
            self._source.skip(len(batch))
            return
        device, dtype = self._part.device, self._train.dtype
        part = self._train.select(batch[rows]).to(device, dtype)
        loss, weight = self._source.compute(part, rows, len(batch)), self._task.weight(part.targets, dtype)
        torch.mul(self._part, weight, out=values[: self._size])
        values[self._size], values[self._size + 1] = loss * weight, weight

    def update_model(self) -> None:
        """See `Step.update_model`."""
        self._source.update_model()

    def losses(self) -> Tensor:
        """See `Step.losses`."""
        return torch.stack(self._losses)

    def state(self) -> dict[str, list[Tensor]]:
        """See `Step.state`."""
        return {name: self._source.unpack(memory) for name, memory in self._optimizer.state().items()}

    def load_state(self, memory: Mapping[str, list[Tensor]], steps: int) -> None:
        """See `Step.load_state`."""
        device = self._part.device
        moved = {name: [value.to(device) for value in self._source.pack(values)] for name, values in memory.items()}
        self._optimizer.load_state(moved, steps)


def build_shared_step(
    model: nn.Sequential, task: Task, train: Split, config: Config, world: World, *, is_manual: bool
) -> SharedStep:
    """Return steps with written-out formulas if `is_manual`, else with autograd."""
    batch_size = examples_per_batch(len(train), config.training.batch_size)
    source: Gradients
    if is_manual:
        source = ManualGradients(model, task, batch_size)
    else:
        source = EagerGradients(model, task, is_bf16=config.training.precision == "bf16")
    return SharedStep(source, task, train, config, world)
