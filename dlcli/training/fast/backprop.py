"""Back-propagation written out for fully connected networks: no autograd graph, and layers in memory that is kept.

With inputs h⁰ and layers l = 1 … L, each zˡ = hˡ⁻¹ Wˡ + bˡ and hˡ = σ(zˡ), the chain rule gives from the top down

    δᴸ = ∂loss/∂zᴸ                      the task's; p − y for softmax with cross-entropy
    δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) ⊙ σ′(zˡ)          pulled back through the weights, then through σ
    ∂loss/∂Wˡ = hˡ⁻¹ᵀ δˡ,   ∂loss/∂bˡ = Σ δˡ over the batch

(Rumelhart, Hinton and Williams, 1986). With a 1 appended to every h and b as the last row of W, the biases need no
formulas of their own. Plain gradient descent needs no gradient in memory: the product hˡ⁻¹ᵀ δˡ goes straight into the
weights, scaled by −lr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.fast.layers import Layer, lie_by_units

LossGradient: TypeAlias = Callable[[Tensor, Tensor, Tensor], float]


class Batch(NamedTuple):
    """What a step reads, and the memory for what the model gives before it.

    Attributes:
        inputs: With a last column of ones: (n, in_features + 1); see `ones_beside`.
        targets: Labels (n,) or values (n, out_features).
        outputs: Of shape (n, units); see `Layer.outputs`.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor


class Propagation:
    """Forward and backward for batches of `n` examples, in memory that is kept from one batch to the next.

    Args:
        layers: They share their parameters with other propagations.
        loss_gradient: See `Task.loss_gradient`.
        n: Examples in a batch.
    """

    def __init__(self, layers: Sequence[Layer], loss_gradient: LossGradient, n: int) -> None:
        units = [_Unit(layer, n) for layer in layers[:-1]]
        self._loss_gradient = loss_gradient
        self._bottom, self._top = layers[0], layers[-1]
        self._delta = self._top.outputs(n)  # 0 for idle units
        self._own_delta = self._top.without_idle(self._delta)
        self._up = list(zip(layers[:-1], units, strict=True))
        self._down = list(zip(layers[1:], units, strict=True))[::-1]

    def __call__(self, batch: Batch, lr: float, keep: float) -> None:
        """Put what the network makes of the inputs into the outputs, and have its layers learn.

        Back-propagation is linear in ∂loss/∂outputs: factors of it are as well applied at the end.

        Args:
            batch: Of `n` examples.
            lr: Learning rate; 1 where layers keep gradients.
            keep: See `Layer.learn`.
        """
        inputs, targets, outputs = batch
        self._forward(inputs, outputs)
        factor = self._loss_gradient(self._top.without_idle(outputs), targets, self._own_delta)
        self._backward(inputs, self._delta, lr * factor, keep)

    def _forward(self, inputs: Tensor, outputs: Tensor) -> None:
        h = inputs
        for layer, unit in self._up:
            layer.forward(h, unit.z)
            h = unit.rise()
        self._top.forward(h, outputs)

    def _backward(self, inputs: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Have each layer learn from the top down, once its weights have told the layer below."""
        for layer, unit in self._down:
            layer.pull_back(delta, unit.gradient)
            layer.learn(unit.h_t, delta, rate, keep)
            delta = unit.fall()
        self._bottom.learn(inputs.t(), delta, rate, keep)


class _Unit:
    """What passes between two layers: h = σ(z), perhaps dropped out, on the way up; ∂loss/∂h and δ on the way down."""

    def __init__(self, layer: Layer, n: int) -> None:
        self._apply, self._pull_back = layer.activation.apply, layer.activation.pull_back
        self._dropout = layer.dropout
        self._h = layer.activations(n)
        self.h_t = self._h.t()
        self._dropped = self._h[:, :-1]
        self._activated = layer.outputs(n) if layer.dropout else self._dropped
        self.z = self._activated if layer.activation.in_place else layer.outputs(n)
        self.gradient = layer.outputs(n)
        self._mask = layer.weight.new_empty(n, layer.units if layer.dropout else 0)  # drawn as nn.Dropout does

    def rise(self) -> Tensor:
        """Return h of the z that has been put here, with a last column of ones."""
        self._apply(self.z, self._activated)
        if self._dropout:
            keep = 1 - self._dropout
            torch.mul(self._activated, self._mask.bernoulli_(keep).div_(keep), out=self._dropped)
        return self._h

    def fall(self) -> Tensor:
        """Return δ, in place of the gradient that has been put here."""
        if self._dropout:
            self.gradient.mul_(self._mask)
        self._pull_back(self.gradient, self.z, self._activated)
        return self.gradient


def is_known(model: nn.Sequential) -> bool:
    """Return whether the derivative of every layer of `model` is written out here."""
    return all(type(module) in (nn.Linear, nn.Dropout, *ELEMENTWISE) for module in model)


def read_layers(model: nn.Sequential, n: int, build: Callable[[nn.Linear, bool], Layer] = Layer) -> list[Layer]:
    """Return the layers of a model that `is_known`: each Linear with the activation and dropout behind it.

    Args:
        model: Changed by `Layer.update_model` alone.
        n: Examples in a batch, most of the time.
        build: Makes a layer, of a Linear and whether it lies in memory by units.
    """
    by_units = iter(lie_by_units([module for module in model if isinstance(module, nn.Linear)], n))
    layers: list[Layer] = []
    for module in model:
        if isinstance(module, nn.Linear):
            layers.append(build(module, next(by_units)))
        elif isinstance(module, nn.Dropout):
            layers[-1].dropout = module.p
        else:
            layers[-1].activation = ELEMENTWISE[type(module)]
    return layers
