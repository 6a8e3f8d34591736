"""Steps of several models of one shape at once, bit-identical to the steps of each model alone.

A step of a small model takes longer to call than to compute. Here one call computes an element-wise operation for all
models, and only matrix products are called for each. The bits of a model do not depend on the others, because

- each matrix product is the same call as for the model alone: same function, shapes, strides and alignment to 64 bytes;
- each element-wise operation computes the same vectors as for the model alone. torch computes a run of adjacent values
  with vector instructions and the rest of the run with scalar instructions, whose last bits can differ. Gaps between
  the models separate their runs, and a single thread computes, so no run is divided;
- reductions, such as the norm of the gradients, and dropout are computed for each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from dlcli.config.schema import AnyOptimizer
from dlcli.data.shared_split import SharedSplit
from dlcli.training.fast.backprop import Batch, Units
from dlcli.training.fast.gather import SharedGatherer
from dlcli.training.fast.layers import Layer, with_ones_column
from dlcli.training.fast.memory import Product, multiply, stack_like, stack_parts
from dlcli.training.fast.step import ManualStep
from dlcli.training.optim import Optimizer, build_optimizer, part_of_state

Update: TypeAlias = tuple[Layer, Tensor | None, Tensor, Tensor]  # layer, gradient, inputs transposed, δ


class Stack:
    """Steps of several models at once.

    Args:
        steps: Steps of the models. They have equal shapes, batch sizes and numbers of examples, are on the CPU, and
            either all or none of them store gradients. The stack moves their tensors into shared memory.
        optimizer: Optimizer settings, if they and the learning rates of all steps are equal; None otherwise.
        taken: Number of steps taken before.
    """

    def __init__(self, steps: Sequence[ManualStep], optimizer: AnyOptimizer | None, taken: int) -> None:
        self._steps = steps
        self._layers = list(zip(*(step.layers for step in steps), strict=True))  # indexed by layer, then by model
        self._stores = bool(steps[0].gradients)
        self._optimizer: Optimizer | None = None
        self._gradients: list[Tensor] = []
        if optimizer is not None and self._stores and all(step.clip_norm is None for step in steps):
            self._optimizer = self._share_optimizer(optimizer, taken)
        self._gatherer = self._share_gatherer()
        self._targets = stack_parts([step.targets for step in steps])
        self._outputs = stack_parts([step.outputs for step in steps])
        for step, targets, outputs in zip(steps, self._targets, self._outputs, strict=True):
            step.use(targets, outputs)
        self._memories: dict[int, _Memory] = {}
        self._passes: dict[tuple[int, int], _Pass] = {}

    def _share_gatherer(self) -> SharedGatherer | None:
        """Return a gatherer for all models if they share their data and train in batches."""
        first = self._steps[0]
        splits = [step.train for step in self._steps if isinstance(step.train, SharedSplit)]
        if len(splits) < len(self._steps) or any(split.whole is not splits[0].whole for split in splits):
            return None
        if first.batch_size == len(first.train):
            return None
        template = with_ones_column(
            first.batch_size, splits[0].whole.shape[1], dtype=first.train.dtype, device=first.train.device
        )
        return SharedGatherer(splits, stack_like(template, len(splits)))

    def _share_optimizer(self, config: AnyOptimizer, taken: int) -> Optimizer:
        """Return one optimizer for all models, with their state."""
        parameters = [stack_parts([layer.memory for layer in layers]) for layers in self._layers]
        self._gradients = [stack_like(torch.zeros_like(layers[0].memory), len(layers)) for layers in self._layers]
        for layers, *memory in zip(self._layers, parameters, self._gradients, strict=True):
            for layer, weights, gradient in zip(layers, *memory, strict=True):
                layer.use(weights, gradient)
        optimizer = build_optimizer(parameters, config)
        if taken:
            states = [step.optimizer_state() for step in self._steps]
            stacked = {
                name: [stack_parts(parts) for parts in zip(*(state[name] for state in states), strict=True)]
                for name in states[0]
            }
            optimizer.load_state(stacked, taken)
        for place, step in enumerate(self._steps):
            step.optimizer_state = partial(part_of_state, optimizer.state, place)
        return optimizer

    @torch.inference_mode()
    def run(self, index: Sequence[Tensor | None], lrs: Sequence[Sequence[float]]) -> list[tuple[Tensor, Tensor]]:
        """Take the steps of a chunk with each model.

        Args:
            index: First argument of `Step.run` for each model, with equal numbers of examples.
            lrs: Second argument of `Step.run` for each model.

        Returns:
            Result of `Step.run` for each model.
        """
        examples = len(self._steps[0].train) if index[0] is None else len(index[0])
        if self._gatherer is not None:
            self._gatherer.begin_chunk([part for part in index if part is not None], self._targets[:, :examples])
        batches = zip(*(step.cut(examples) for step in self._steps), strict=True)
        for number, (batch, rates) in enumerate(zip(batches, zip(*lrs, strict=True), strict=True)):
            self._gather(index, examples, number, len(batch[0].targets))
            self._take(number, batch, rates)
        return [step.sums(examples) for step in self._steps]

    def _gather(self, index: Sequence[Tensor | None], examples: int, number: int, n: int) -> None:
        """Gather batch `number`, of n examples, unless it was gathered together with an earlier batch."""
        if self._gatherer is not None:
            self._gatherer.gather(number * self._steps[0].batch_size, n)
        elif number % self._steps[0].batches_per_gather == 0:
            for step, positions in zip(self._steps, index, strict=True):
                step.gather(positions, examples, number)

    def _take(self, number: int, batch: Sequence[Batch], lrs: Sequence[float]) -> None:
        """Take a step with each model, on batch `number` of the chunk."""
        step_pass = self._pass(number, batch)
        factors = step_pass.forward()
        if not self._stores:
            rates = [lr * factor for lr, factor in zip(lrs, factors, strict=True)]
            keeps = [1 - lr * step.settings.weight_decay for lr, step in zip(lrs, self._steps, strict=True)]
            step_pass.update(rates, keeps)
        elif self._optimizer is not None:
            for gradient in self._gradients:
                gradient.zero_()
            step_pass.store_gradients(factors)
            self._optimizer.step(self._gradients, lrs[0])
        else:
            step_pass.update(factors, [1.0] * len(factors))
            for step, lr in zip(self._steps, lrs, strict=True):
                step.update(lr)

    def _pass(self, number: int, batch: Sequence[Batch]) -> _Pass:
        """Return the pass for batch `number` of a chunk; its memory is the same in every chunk."""
        n = len(batch[0].targets)
        if (number, n) not in self._passes:
            if n not in self._memories:
                self._memories[n] = _Memory(self._steps, self._layers, n)
            first = number * self._steps[0].batch_size
            rows = slice(first, first + n)
            inputs = self._gatherer.inputs[:, :n].unbind() if self._gatherer else [part.inputs for part in batch]
            outputs, targets = self._outputs[:, rows], self._targets[:, rows]
            self._passes[number, n] = _Pass(self._memories[n], inputs, outputs, targets)
        return self._passes[number, n]


class _Memory:
    """Memory of the passes on batches of n examples.

    Attributes:
        tasks: Tasks of the models.
        layers: For each layer, first to last: the layer of each model.
        units: Units of all models above each layer except the last one.
        delta: δ of the last layer: (models, n, units); 0 for padding units.
    """

    def __init__(self, steps: Sequence[ManualStep], layers: Sequence[Sequence[Layer]], n: int) -> None:
        stack = partial(stack_like, count=len(steps))
        generators = [step.generator for step in steps]
        self.tasks = [step.task for step in steps]
        self.layers = layers
        self.units = [Units(each, generators, n, stack) for each in layers[:-1]]
        self.delta = stack(layers[-1][0].outputs(n))


class _Pass:
    """Forward and backward pass of all models on batches with the same place in their chunks; see `Propagation`.

    Args:
        memory: Memory for the units.
        inputs: Inputs of each model, with a last column of ones.
        outputs: Outputs of all models: (models, n, units).
        targets: Targets of all models: (models, n, …).
    """

    def __init__(self, memory: _Memory, inputs: Sequence[Tensor], outputs: Tensor, targets: Tensor) -> None:
        trim = memory.layers[-1][0].trim_padding
        self._tasks, self._units = memory.tasks, memory.units
        self._outputs, self._targets, self._delta = trim(outputs), targets, trim(memory.delta)
        self._is_same_loss = all(self._tasks[0].same_loss(task) for task in self._tasks)
        h: list[Sequence[Tensor]] = [inputs, *(u.h.unbind() for u in self._units)]
        z = [*(u.z.unbind() for u in self._units), outputs.unbind()]
        deltas = [*(u.gradient.unbind() for u in self._units), memory.delta.unbind()]
        weights = [[layer.weight for layer in layers] for layers in memory.layers]
        back = [[layer.back for layer in layers] for layers in memory.layers]
        self._forward: list[list[Product]] = [
            list(zip(*parts, strict=True)) for parts in zip(h, weights, z, strict=True)
        ]
        self._backward: list[list[Product]] = [
            list(zip(above, matrices, below, strict=True))
            for (below, above), matrices in zip(pairwise(deltas), back[1:], strict=True)
        ]
        self._updates: list[list[Update]] = [
            list(zip(layers, (layer.gradient for layer in layers), (part.t() for part in below), delta, strict=True))
            for layers, below, delta in zip(memory.layers, h, deltas, strict=True)
        ]

    def forward(self) -> Sequence[float]:
        """Compute the outputs and ∂loss/∂outputs of each model; return the factors, see `Task.loss_gradient`."""
        for products, units in zip(self._forward, self._units, strict=False):
            multiply(products)
            units.forward()
        multiply(self._forward[-1])
        if self._is_same_loss:
            return [self._tasks[0].loss_gradients(self._outputs, self._targets, self._delta)] * len(self._tasks)
        parts = zip(self._tasks, self._outputs, self._targets, self._delta, strict=True)
        return [task.loss_gradient(*tensors) for task, *tensors in parts]

    def update(self, rates: Sequence[float], keeps: Sequence[float]) -> None:
        """Call `Layer.update` for all layers, from the last one down, with one rate and factor for each model."""
        for updates in self._descend():
            for (layer, _, inputs, delta), rate, keep in zip(updates, rates, keeps, strict=True):
                layer.update(inputs, delta, rate, keep)

    def store_gradients(self, rates: Sequence[float]) -> None:
        """Store the gradients of all layers as `Layer.store_gradient` does; their memory must be 0 before the call."""
        for updates in self._descend():
            beta = int(updates[0][0].unit_major)
            for (_, gradient, inputs, delta), rate in zip(updates, rates, strict=True):
                gradient.addmm_(inputs, delta, beta=beta, alpha=rate)  # type: ignore[union-attr]

    def _descend(self) -> Iterable[list[Update]]:
        """Yield the updates of a layer after its δ is computed and its weights are used for the layer below."""
        for number in range(len(self._units), 0, -1):
            multiply(self._backward[number - 1])
            yield self._updates[number]
            self._units[number - 1].backward()
        yield self._updates[0]
