"""Back-propagation of fully connected networks from written-out formulas, without an autograd graph.

For inputs h⁰ and layers l = 1 … L with zˡ = hˡ⁻¹ Wˡ + bˡ and hˡ = σ(zˡ), the chain rule gives, last layer first,

    δᴸ = ∂loss/∂zᴸ                      from the task; p − y for softmax with cross-entropy
    δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) ⊙ σ′(zˡ)
    ∂loss/∂Wˡ = hˡ⁻¹ᵀ δˡ,   ∂loss/∂bˡ = Σ δˡ over the batch

(Rumelhart, Hinton and Williams, 1986). With a 1 appended to every h, and b as the last row of W, the biases need no
separate formulas. Plain gradient descent stores no gradient: the product hˡ⁻¹ᵀ δˡ, scaled by −lr, is added to the
weights. All intermediate tensors are allocated once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.fast.layers import Layer, choose_layout

LossGradient: TypeAlias = Callable[[Tensor, Tensor, Tensor], float]


class Batch(NamedTuple):
    """Data of a step, and memory for the outputs before it.

    Attributes:
        inputs: Inputs with a last column of ones: (n, in_features + 1); see `with_ones_column`.
        targets: Labels (n,) or values (n, out_features).
        outputs: Memory for the outputs: (n, units); see `Layer.outputs`.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor


class Propagation:
    """Forward and backward pass for batches of `n` examples; the memory is reused for every batch.

    Args:
        layers: Layers, which several propagations may share.
        loss_gradient: See `Task.loss_gradient`.
        n: Number of examples in a batch.
    """

    def __init__(self, layers: Sequence[Layer], loss_gradient: LossGradient, n: int) -> None:
        units = [_Unit(layer, n) for layer in layers[:-1]]
        self._loss_gradient = loss_gradient
        self._bottom, self._top = layers[0], layers[-1]
        self._delta = self._top.outputs(n)  # 0 for padding units
        self._own_delta = self._top.trim_padding(self._delta)
        self._up = list(zip(layers[:-1], units, strict=True))
        self._down = list(zip(layers[1:], units, strict=True))[::-1]

    def __call__(self, batch: Batch, lr: float, keep: float) -> None:
        """Compute the outputs of a batch and update the layers.

        Back-propagation is linear in ∂loss/∂outputs, so scalar factors of it are applied at the end.

        Args:
            batch: Batch of `n` examples.
            lr: Learning rate; 1 if the layers store gradients.
            keep: See `Layer.update`.
        """
        inputs, targets, outputs = batch
        self._forward(inputs, outputs)
        factor = self._loss_gradient(self._top.trim_padding(outputs), targets, self._own_delta)
        self._backward(inputs, self._delta, lr * factor, keep)

    def _forward(self, inputs: Tensor, outputs: Tensor) -> None:
        h = inputs
        for layer, unit in self._up:
            layer.forward(h, unit.z)
            h = unit.forward()
        self._top.forward(h, outputs)

    def _backward(self, inputs: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Update the layers from the last one down, each after its weights have been used for the layer below."""
        for layer, unit in self._down:
            layer.backward_input(delta, unit.gradient)
            layer.update(unit.h_t, delta, rate, keep)
            delta = unit.backward()
        self._bottom.update(inputs.t(), delta, rate, keep)


class _Unit:
    """Activations between two layers: h = σ(z) with dropout going forward, ∂loss/∂h and δ going backward."""

    def __init__(self, layer: Layer, n: int) -> None:
        self._apply, self._apply_backward = layer.activation.apply, layer.activation.backward
        self._dropout = layer.dropout
        self._h = layer.activations(n)
        self.h_t = self._h.t()
        self._dropped = self._h[:, :-1]
        self._activated = layer.outputs(n) if layer.dropout else self._dropped
        self.z = self._activated if layer.activation.in_place else layer.outputs(n)
        self.gradient = layer.outputs(n)
        self._mask = layer.weight.new_empty(n, layer.units if layer.dropout else 0)  # drawn as in nn.Dropout

    def forward(self) -> Tensor:
        """Return the layer's outputs h, computed from `z` by activation and dropout, followed by a column of ones."""
        self._apply(self.z, self._activated)
        if self._dropout:
            keep = 1 - self._dropout
            torch.mul(self._activated, self._mask.bernoulli_(keep).div_(keep), out=self._dropped)
        return self._h

    def backward(self) -> Tensor:
        """Return δ, which replaces the current `gradient`."""
        if self._dropout:
            self.gradient.mul_(self._mask)
        self._apply_backward(self.gradient, self.z, self._activated)
        return self.gradient


def is_supported(model: nn.Sequential) -> bool:
    """Return whether this module has the derivatives of all layers of `model`."""
    return all(type(module) in (nn.Linear, nn.Dropout, *ELEMENTWISE) for module in model)


def read_layers(model: nn.Sequential, n: int, build: Callable[[nn.Linear, bool], Layer] = Layer) -> list[Layer]:
    """Return the layers of a supported model: each Linear with its activation and dropout.

    Args:
        model: Model; only `Layer.update_model` changes it.
        n: Number of examples in a full batch.
        build: Function that builds a layer from a Linear and whether its memory is unit-major.
    """
    unit_major = iter(choose_layout([module for module in model if isinstance(module, nn.Linear)], n))
    layers: list[Layer] = []
    for module in model:
        if isinstance(module, nn.Linear):
            layers.append(build(module, next(unit_major)))
        elif isinstance(module, nn.Dropout):
            layers[-1].dropout = module.p
        else:
            layers[-1].activation = ELEMENTWISE[type(module)]
    return layers
