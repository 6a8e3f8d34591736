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
    """Data of a step, and memory for the outputs that the step computes.

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

    Attributes:
        units: Units above each layer except the last one.

    Args:
        layers: Layers, which several propagations may share.
        loss_gradient: See `Task.loss_gradient`.
        n: Number of examples in a batch.
        generator: Random generator of dropout; None uses torch's default generator.
        rows: Place of the examples in a larger batch, for all of which dropout draws its masks; None if the examples
            are a whole batch.
        whole: Number of examples of the larger batch.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss_gradient: LossGradient,
        n: int,
        generator: torch.Generator | None = None,
        *,
        rows: slice | None = None,
        whole: int = 0,
    ) -> None:
        self.units = [Units([layer], [generator], n) for layer in layers[:-1]]
        for units in self.units:
            if rows is not None:
                units.draw_for(rows, whole)
        self._loss_gradient = loss_gradient
        self._bottom, self._top = layers[0], layers[-1]
        self._delta = self._top.outputs(n)  # 0 for padding units
        self._own_delta = self._top.trim_padding(self._delta)
        self._up = list(zip(layers[:-1], self.units, strict=True))
        self._down = list(zip(layers[1:], self.units, strict=True))[::-1]

    def __call__(self, batch: Batch, lr: float, keep: float) -> None:
        """Compute the outputs of a batch and update the layers.

        Back-propagation is linear in ∂loss/∂outputs, so a scalar factor of it is applied only in the updates.

        Args:
            batch: Batch of `n` examples.
            lr: Learning rate; 1 if the layers store gradients.
            keep: See `Layer.update`.
        """
        inputs, targets, outputs = batch
        self.forward(inputs, outputs)
        factor = self._loss_gradient(self._top.trim_padding(outputs), targets, self._own_delta)
        self._backward(inputs, self._delta, lr * factor, keep)

    def forward(self, inputs: Tensor, outputs: Tensor) -> None:
        """Write the outputs of a batch."""
        h = inputs
        for layer, units in self._up:
            layer.forward(h, units.z)
            units.forward()
            h = units.h
        self._top.forward(h, outputs)

    def _backward(self, inputs: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Update the layers from the last one down, each after its weights have been used for the layer below."""
        for layer, units in self._down:
            layer.backward_input(delta, units.gradient)
            layer.update(units.h_t, delta, rate, keep)
            units.backward()
            delta = units.gradient
        self._bottom.update(inputs.mT, delta, rate, keep)


class Units:
    """Units between two layers: h = σ(z) with dropout going forward, ∂loss/∂h and δ going backward.

    Attributes:
        z: Memory for the inputs of the activation: (n, units).
        h: Outputs with a last column of ones: (n, units + 1).
        h_t: Transpose of `h`.
        gradient: Memory for ∂loss/∂h, then δ: (n, units).

    Args:
        layers: Layer below the units; for several models at once, the same layer of each.
        generators: Random generator of dropout for each of `layers`; None stands for torch's default generator.
        n: Number of examples in a batch.
        stack: Function that returns memory for all models, of shape (models, *shape), from the memory of one model;
            None for a single model.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        generators: Sequence[torch.Generator | None],
        n: int,
        stack: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        layer, stacked = layers[0], stack or _same
        self._apply, self._apply_backward = layer.activation.apply, layer.activation.backward
        self.h = stacked(layer.activations(n))
        self.h_t = self.h.mT
        self._dropped = self.h[..., :-1]
        self._activated = stacked(layer.outputs(n)) if layer.dropout else self._dropped
        self.z = self._activated if layer.activation.in_place else stacked(layer.outputs(n))
        self.gradient = stacked(layer.outputs(n))
        self._mask = stacked(layer.weight.new_empty(n, layer.units if layer.dropout else 0))
        masks = self._mask.unbind() if stack else [self._mask]
        keeps = [1 - layer.dropout for layer in layers]
        tensors = self.z, self._activated, self.gradient
        is_divided = stack is not None and not layer.activation.is_stackable
        self._parts = list(zip(*(tensor.unbind() for tensor in tensors), strict=True)) if is_divided else [tensors]
        self._masks = list(zip(masks, keeps, generators, strict=True)) if layer.dropout else []

    def draw_for(self, rows: slice, whole: int) -> None:
        """Draw the masks of dropout for a batch of `whole` examples from now on, and use their part `rows`."""
        if self._masks:
            ((mask, keep, generator),) = self._masks
            drawn = mask.new_empty(whole, mask.shape[1])
            self._mask, self._masks = drawn[rows], [(drawn, keep, generator)]

    def forward(self) -> None:
        """Compute `h` from `z` by activation and dropout; masks are drawn as in nn.Dropout."""
        for z, activated, _ in self._parts:
            self._apply(z, activated)
        for mask, keep, generator in self._masks:
            mask.bernoulli_(keep, generator=generator).div_(keep)
        if self._masks:
            torch.mul(self._activated, self._mask, out=self._dropped)

    def backward(self) -> None:
        """Replace ∂loss/∂h in `gradient` by δ."""
        if self._masks:
            self.gradient.mul_(self._mask)
        for z, activated, gradient in self._parts:
            self._apply_backward(gradient, z, activated)


def _same(memory: Tensor) -> Tensor:
    return memory


def is_supported(model: nn.Sequential) -> bool:
    """Return whether the derivatives of all layers of `model` are implemented here."""
    return all(type(module) in (nn.Linear, nn.Dropout, *ELEMENTWISE) for module in model)


def read_layers(model: nn.Sequential, n: int, build: Callable[[nn.Linear, bool], Layer] = Layer) -> list[Layer]:
    """Return the layers of a supported model: each Linear with its activation and dropout.

    Args:
        model: Model; only `Layer.update_model` changes it.
        n: Number of examples in a full batch.
        build: Function (linear, unit_major) that returns a layer; see `Layer`.
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
