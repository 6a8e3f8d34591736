"""Steps of several models of one shape at once on a GPU, with batched matrix products.

The formulas are those of `dlcli.training.fast.backprop`, with a first dimension for the models. No value of a model
depends on another model, but a batched product may sum in a different order than a product of two matrices. A model
trained alone, or in another stack, therefore has the same results only up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from dlcli.config.schema import AnyOptimizer
from dlcli.task.stacked import stack_losses
from dlcli.training.fast.backprop import Batch, Propagation
from dlcli.training.fast.cuda_graph import CapturedSteps
from dlcli.training.fast.gather import BatchedGatherer
from dlcli.training.fast.graph_optim import (
    FusedOptimizer,
    RatedOptimizer,
    build_fused_optimizer,
    build_rated_optimizer,
)
from dlcli.training.fast.layers import Layer
from dlcli.training.fast.step import ManualStep
from dlcli.training.optim import Optimizer, build_optimizer, part_of_state

Rates: TypeAlias = Sequence[float] | Sequence[Sequence[float]]  # for each step: one rate, or one for each model


class BatchedLayer(Layer):
    """One layer of several models; all shapes have a first dimension for the models.

    Args:
        layers: The layer of each model; their parameters are moved into the memory of this layer.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        first, self.models = layers[0], len(layers)
        super().__init__(first.linear, first.unit_major)
        self.activation = first.activation
        memory = torch.stack([layer.memory for layer in layers])
        self.gradient_memory = torch.zeros_like(memory)
        self.use(memory, self.gradient_memory)
        for layer, *parts in zip(layers, memory, self.gradient_memory, strict=True):
            layer.use(*parts)

    def activations(self, n: int) -> Tensor:
        """See `Layer.activations`."""
        return self._divide(super().activations(self.models * n))

    def outputs(self, n: int) -> Tensor:
        """See `Layer.outputs`."""
        return self._divide(super().outputs(self.models * n))

    def _divide(self, memory: Tensor) -> Tensor:
        return memory.view(self.models, -1, memory.shape[1])

    def forward(self, h: Tensor, out: Tensor) -> None:
        """See `Layer.forward`."""
        torch.bmm(h, self.weight, out=out)

    def backward_input(self, delta: Tensor, out: Tensor) -> None:
        """See `Layer.backward_input`."""
        torch.bmm(delta, self.back, out=out)

    def store_gradient(self, h_t: Tensor, delta: Tensor, rate: float) -> None:
        """See `Layer.store_gradient`."""
        assert self.gradient is not None, "it is allocated above"
        self.gradient.baddbmm_(h_t, delta, beta=int(self.unit_major), alpha=rate)


class BatchedStack:
    """Steps of several models at once; see `Stack`, which has the same methods.

    Args:
        steps: Steps of the models, without dropout, with the training data on the device. They have equal shapes, batch
            sizes, numbers of examples, losses and optimizer settings, apart from learning rates, class weights and
            label smoothing. The stack moves their tensors into shared memory.
        optimizer: Optimizer settings, if the learning rates of all steps are equal; None otherwise.
        taken: Number of steps taken before.

    Attributes:
        layers: Layers of all models.
        loss: Losses of all models.
    """

    def __init__(self, steps: Sequence[ManualStep], optimizer: AnyOptimizer | None, taken: int) -> None:
        first, models = steps[0], len(steps)
        self._steps, self._has_one_rate = steps, optimizer is not None
        self._batch_size, self._most = first.batch_size, len(first.targets)
        states = [step.optimizer_state() for step in steps]
        self.layers = [BatchedLayer(layers) for layers in zip(*(step.layers for step in steps), strict=True)]
        self._weight = self.layers[0].memory
        self.loss = stack_losses([step.task for step in steps], like=self._weight)
        self._max_norms = self._read_max_norms()
        self._gatherer = BatchedGatherer([step.train for step in steps], self._batch_size)
        self._chosen = torch.zeros(models, self._most, dtype=torch.int64, device=self._weight.device)
        self._targets = first.targets.new_empty(models, *first.targets.shape)
        self._outputs = self.layers[-1].outputs(self._most)
        for step, *memory in zip(steps, self._targets, self._outputs, strict=True):
            step.use(*memory)
        self._propagations: dict[int, Propagation] = {}
        self._optimizer = self._build_optimizer(first.settings)
        if taken:
            self._optimizer.load_state(_stack_states(states), taken)
        for place, step in enumerate(steps):
            step.optimizer_state = partial(part_of_state, self._optimizer.state, place)

    def _read_max_norms(self) -> Tensor | None:
        """Return the norm to clip each model's gradient to, infinity for no clipping; None if no model clips."""
        norms = [step.clip_norm for step in self._steps]
        if not any(norm is not None for norm in norms):
            return None
        return self._tensor([torch.inf if norm is None else norm for norm in norms])

    def _tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, dtype=self._weight.dtype).to(self._weight.device)

    def _build_optimizer(self, config: AnyOptimizer) -> Optimizer | RatedOptimizer:
        """Return the optimizer of all models; if CUDA graphs can capture it, set up captured steps."""
        parameters = [layer.memory for layer in self.layers]
        # As in `ManualStep`: the kernels read a learning rate as float32.
        is_captured = self._weight.device.type == "cuda" and self._weight.dtype == torch.float32
        optimizer: FusedOptimizer | RatedOptimizer | None
        if self._has_one_rate:
            optimizer = build_fused_optimizer(parameters, config) if is_captured else None
        else:
            optimizer = build_rated_optimizer(parameters, config)
        self._run_batches: Callable[[Sequence[Batch], Rates], None] = self._run_each
        if optimizer is not None and is_captured:
            shape = () if self._has_one_rate else (len(self._steps), 1, 1)
            most = -(-self._most // self._batch_size)
            self._run_batches = CapturedSteps(partial(self._take, optimizer), optimizer.buffers, most, shape)
        return optimizer or build_optimizer(parameters, config)

    @torch.inference_mode()
    def run(self, index: Sequence[Tensor | None], lrs: Sequence[Sequence[float]]) -> list[tuple[Tensor, Tensor]]:
        """Take the steps of a chunk with each model; see `Stack.run`. The results are read once, at the end."""
        parts = [part for part in index if part is not None]
        examples = len(parts[0]) if parts else self._most
        targets = self._targets[:, :examples]
        self._gatherer.choose(torch.stack(parts) if parts else None, self._chosen[:, :examples], targets)
        self._run_batches(self._cut(examples), lrs[0] if self._has_one_rate else list(zip(*lrs, strict=True)))
        for step in self._steps:
            step.examples = examples
        outputs = self.layers[-1].trim_padding(self._outputs[:, :examples])
        losses, weights = self.loss.totals(outputs, targets).cpu(), self.loss.weights(targets).cpu()
        return list(zip(losses, weights, strict=True))

    def _cut(self, examples: int) -> list[Batch]:
        """Return the batches of a chunk; each step gathers the inputs of its batch."""
        starts = range(0, examples, self._batch_size)
        rows = [slice(start, min(start + self._batch_size, examples)) for start in starts]
        return [
            Batch(self._gatherer.inputs[:, : part.stop - part.start], self._targets[:, part], self._outputs[:, part])
            for part in rows
        ]

    def _run_each(self, batches: Sequence[Batch], rates: Rates) -> None:
        """Take a step on each batch, without a graph."""
        of_models = None if self._has_one_rate else self._tensor(rates).view(len(rates), -1, 1, 1)
        self._take(self._optimizer, batches, rates if of_models is None else of_models)

    def _take(self, optimizer: Any, batches: Sequence[Batch], rates: Rates | Tensor) -> None:
        """Take a step on each batch."""
        gradients = [layer.gradient_memory for layer in self.layers]
        for number, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
            first, n = number * self._batch_size, batch.targets.shape[1]
            self._gatherer.gather(self._chosen[:, first : first + n])
            self._propagation(n)(batch, lr=1.0, keep=1.0)
            if self._max_norms is not None:
                clip_norms_(gradients, self._max_norms)
            optimizer.step(gradients, rate)

    def _propagation(self, n: int) -> Propagation:
        """Return the propagation for batches of n examples of each model."""
        if n not in self._propagations:
            self._propagations[n] = Propagation(self.layers, self.loss.gradient, n)
        return self._propagations[n]


def _stack_states(states: Sequence[Mapping[str, Sequence[Tensor]]]) -> dict[str, list[Tensor]]:
    """Return the optimizer state of all models from the state of each."""
    return {
        name: [torch.stack(parts) for parts in zip(*(state[name] for state in states), strict=True)]
        for name in states[0]
    }


@torch.no_grad()
def clip_norms_(gradients: Sequence[Tensor], max_norms: Tensor) -> None:
    """Scale the gradients of each model in place as `clip_norm_` does.

    Args:
        gradients: Gradients of all models, (models, …), for each layer.
        max_norms: Largest norm for each model.
    """
    norms = torch.stack([torch.linalg.vector_norm(gradient, dim=(1, 2)) for gradient in gradients])
    factors = (max_norms / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, 1, 1))
