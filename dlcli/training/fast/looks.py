"""Validation and traces of several models of one shape at once, bit-identical to those of each model alone.

As in `dlcli.training.fast.stack`, each matrix product is the same call as for a model alone, an element-wise operation
is one call for all models with gaps between their values, and reductions are computed for each model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.events import FLAT, LayerTrace
from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.fast.memory import multiply, stack_like, stack_parts

# Steepest slope, and slope as a function of the activation's value.
SLOPES: dict[type[nn.Module], tuple[float, Callable[[Tensor], Tensor]]] = {
    nn.Sigmoid: (0.25, lambda h: h * (1 - h)),
    nn.Tanh: (1.0, lambda h: 1 - h * h),
    nn.ReLU: (1.0, lambda h: (h > 0).to(h.dtype)),
}


class Forward:
    """Forward pass without dropout of several models, each on its own examples.

    Args:
        models: Models of one shape with layers that `backprop` supports, on the CPU. Each pass reads their parameters.
        splits: Examples of each model, equally many.

    Attributes:
        targets: Targets of all models: (models, n, …).
        kinds: Types of the activations, first layer first.
        weights: Weight of each Linear for each model.
        h: Inputs of each Linear: (models, n, in_features).
        z: Outputs of each Linear: (models, n, out_features); an activation may write its values to the same memory.
    """

    def __init__(self, models: Sequence[nn.Sequential], splits: Sequence[Split]) -> None:
        layers = list(zip(*(_linears(model) for model in models), strict=True))
        n, count = len(splits[0]), len(models)
        self.targets = stack_parts([split.targets for split in splits])
        self.kinds = [type(module) for module in models[0] if type(module) in ELEMENTWISE]
        self.weights = [[linear.weight.detach() for linear in layer] for layer in layers]
        self.z = [stack_like(weights[0].new_empty(n, len(weights[0])), count) for weights in self.weights]
        self.h = [stack_parts([split.inputs for split in splits])]
        for kind, z in zip(self.kinds, self.z, strict=False):
            self.h.append(z if ELEMENTWISE[kind].in_place else stack_like(z[0], count))
        biases = [[linear.bias.detach() for linear in layer] for layer in layers]
        turned = [[weight.t() for weight in layer] for layer in self.weights]
        self._products = [list(zip(*parts, strict=True)) for parts in zip(biases, self.h, turned, self.z, strict=True)]

    def __call__(self) -> Tensor:
        """Return the outputs: (models, n, out_features)."""
        for products, kind, z, h in zip(self._products, self.kinds, self.z, self.h[1:], strict=False):
            _apply_linear(products)
            for part in _divide(kind, z, h):
                ELEMENTWISE[kind].apply(*part)
        _apply_linear(self._products[-1])
        return self.z[-1]


class StackedEvaluation:
    """Sums of several models over a split; see `dlcli.training.evaluation.evaluate_split`.

    Args:
        models: See `Forward`.
        tasks: Task of each model.
        splits: See `Forward`; at most `BATCH_SIZE` examples for each model.
    """

    def __init__(self, models: Sequence[nn.Sequential], tasks: Sequence[Task], splits: Sequence[Split]) -> None:
        self._tasks, self._forward = tasks, Forward(models, splits)

    @torch.no_grad()
    def sums(self) -> list[dict[str, Tensor]]:
        """Return the sums of each model for its current parameters."""
        outputs = zip(self._tasks, self._forward(), self._forward.targets, strict=True)
        return [task.sums(*pair) for task, *pair in outputs]


class StackedTracer:
    """Measurements inside several models, with the gradients of the formulas in `dlcli.training.fast.backprop`.

    Args:
        models: See `Forward`.
        tasks: Task of each model.
        probes: Examples for the measurements of each model; see `Forward`.
    """

    def __init__(self, models: Sequence[nn.Sequential], tasks: Sequence[Task], probes: Sequence[Split]) -> None:
        self._tasks, self._forward = tasks, Forward(models, probes)
        weights, h, z = self._forward.weights, self._forward.h, self._forward.z
        self._is_same_loss = all(tasks[0].same_loss(task) for task in tasks)
        self._deltas = [stack_like(part[0], len(models)) for part in z]
        self._gradients = [[torch.empty_like(weight) for weight in layer] for layer in weights]
        self._updates = [
            list(zip(delta.mT, inputs, gradients, strict=True))
            for delta, inputs, gradients in zip(self._deltas, h, self._gradients, strict=True)
        ]
        self._backward = [
            list(zip(above, layer, below, strict=True))
            for (below, above), layer in zip(pairwise(self._deltas), weights[1:], strict=True)
        ]

    @torch.no_grad()
    def look(self) -> list[tuple[LayerTrace, ...]]:
        """Return the measurements of the layers of each model for its current parameters."""
        outputs, n_layers = self._forward(), len(self._updates)
        saturated = [self._saturation(number) for number in range(n_layers)]
        factors = self._loss_gradients(outputs)
        self._propagate()
        norms = [norm for layer in (*self._gradients, *self._forward.weights) for norm in torch._foreach_norm(layer)]
        values = torch.stack(norms).view(2, n_layers, -1).tolist()
        return [
            tuple(
                LayerTrace(factor * gradients[number], weights[number], flat[number])
                for gradients, weights, flat in zip(*values, saturated, strict=True)
            )
            for number, factor in enumerate(factors)
        ]

    def _saturation(self, number: int) -> list[float | None]:
        """Return the fraction of flat activations after a layer, for each model; None if they do not saturate."""
        forward = self._forward
        if number == len(forward.kinds) or forward.kinds[number] not in SLOPES:
            return [None] * len(self._tasks)
        steepest, slope = SLOPES[forward.kinds[number]]
        h = forward.h[number + 1]
        counts: list[int] = (slope(h) < FLAT * steepest).sum((1, 2)).tolist()
        return [count / h[0].numel() for count in counts]

    def _loss_gradients(self, outputs: Tensor) -> Sequence[float]:
        """Write ∂loss/∂outputs up to a factor for each model, and return the factors."""
        tasks, delta = self._tasks, self._deltas[-1]
        if self._is_same_loss:
            return [tasks[0].loss_gradients(outputs, self._forward.targets, delta)] * len(tasks)
        parts = zip(tasks, outputs, self._forward.targets, delta, strict=True)
        return [task.loss_gradient(*tensors) for task, *tensors in parts]

    def _propagate(self) -> None:
        """Compute the gradients of all weights, from the last layer down."""
        multiply(self._updates[-1])
        for number in range(len(self._backward) - 1, -1, -1):
            multiply(self._backward[number])
            kind, parts = self._forward.kinds[number], (self._forward.z, self._forward.h[1:], self._deltas)
            for z, h, delta in _divide(kind, *(part[number] for part in parts)):
                ELEMENTWISE[kind].backward(delta, z, h)
            multiply(self._updates[number])


def _linears(model: nn.Sequential) -> list[nn.Linear]:
    return [module for module in model if isinstance(module, nn.Linear)]


def _apply_linear(products: Sequence[tuple[Tensor, ...]]) -> None:
    """Compute the outputs of Linears as nn.functional.linear does, from biases, inputs and transposed weights."""
    for bias, inputs, weight, out in products:
        torch.addmm(bias, inputs, weight, out=out)


def _divide(kind: type[nn.Module], *stacks: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the tensors for each call of an activation: one call for all models, or one for each model."""
    yield from [stacks] if ELEMENTWISE[kind].is_stackable else zip(*stacks, strict=True)
