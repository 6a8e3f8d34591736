"""Back-propagation written out for fully connected networks: no autograd graph, no memory allocated per step.

With inputs h⁰ and layers l = 1 … L, each zˡ = hˡ⁻¹ Wˡ + bˡ and hˡ = σ(zˡ), the chain rule gives from the top down

    δᴸ = ∂loss/∂zᴸ                      the task's; p − y for softmax with cross-entropy
    δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) ⊙ σ′(zˡ)          pulled back through the weights, then through σ
    ∂loss/∂Wˡ = hˡ⁻¹ᵀ δˡ,   ∂loss/∂bˡ = Σ δˡ over the batch

(Rumelhart, Hinton and Williams, 1986). Plain gradient descent needs no gradient in memory: the product
hˡ⁻¹ᵀ δˡ goes straight into the weights, scaled by −lr.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.model import Heaviside


@dataclass(frozen=True)
class Elementwise:
    """An activation σ and its derivative.

    Attributes:
        apply: (z, h) puts σ(z) into h; where `in_place`, h is z's memory.
        pull_back: (gradient, z, h) multiplies the gradient, ∂loss/∂h, by σ′(z): then it is δ.
        in_place: Whether `pull_back` does without z.
    """

    apply: Callable[[Tensor, Tensor], object]
    pull_back: Callable[[Tensor, Tensor, Tensor], object]
    in_place: bool = True


def _through_sigmoid(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = h(1 − h)."""
    gradient.mul_(h).addcmul_(gradient, h, value=-1)


def _through_tanh(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = 1 − h²."""
    gradient.addcmul_(gradient * h, h, value=-1)


def _through_gelu(gradient: Tensor, z: Tensor, _h: Tensor) -> None:
    """σ′ = Φ(z) + z φ(z), with the standard normal distribution Φ and its density φ."""
    density = (z.square() * -0.5).exp_().div_(math.sqrt(2 * math.pi))
    gradient.mul_(torch.special.ndtr(z).addcmul_(z, density))


def _through_silu(gradient: Tensor, z: Tensor, h: Tensor) -> None:
    """σ′ = h + s(1 − h), with s = sigmoid(z) and h = z s."""
    s = torch.sigmoid(z)
    gradient.mul_(h + s - s * h)


# By the module's type; what is missing here is trained by autograd. leaky_relu's slope is nn.LeakyReLU's default.
ELEMENTWISE: dict[type[nn.Module], Elementwise] = {
    nn.Sigmoid: Elementwise(lambda z, _h: z.sigmoid_(), _through_sigmoid),
    nn.Tanh: Elementwise(lambda z, _h: z.tanh_(), _through_tanh),
    nn.ReLU: Elementwise(lambda z, _h: z.relu_(), lambda gradient, _z, h: gradient.mul_(h > 0)),
    nn.LeakyReLU: Elementwise(
        lambda z, _h: F.leaky_relu_(z, 0.01),
        lambda gradient, _z, h: torch.where(h > 0, gradient, gradient * 0.01, out=gradient),
    ),
    nn.Identity: Elementwise(lambda _z, _h: None, lambda _gradient, _z, _h: None),
    Heaviside: Elementwise(lambda z, _h: torch.gt(z, 0, out=z), lambda gradient, _z, _h: gradient.zero_()),
    nn.Softplus: Elementwise(
        lambda z, h: h.copy_(F.softplus(z)), lambda gradient, z, _h: gradient.mul_(torch.sigmoid(z)), in_place=False
    ),
    nn.GELU: Elementwise(lambda z, h: h.copy_(F.gelu(z)), _through_gelu, in_place=False),
    nn.SiLU: Elementwise(lambda z, h: h.copy_(F.silu(z)), _through_silu, in_place=False),
}

LossGradient: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, float]]


class Layer:
    """z = h W + b: its products, its parameters, copied from an nn.Linear, and what follows it.

    W is stored as (in_features, out_features), the transpose of nn.Linear's: so the products are faster, and their
    results don't depend on the number of threads.
    """

    def __init__(self, linear: nn.Linear) -> None:
        self._linear = linear
        self.weight = linear.weight.detach().t().contiguous()
        self.weight_t = self.weight.t()
        self.bias = linear.bias.detach().clone()
        self.gradients: tuple[Tensor, Tensor] | None = None
        self.activation = ELEMENTWISE[nn.Identity]
        self.dropout = 0.0

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`."""
        torch.addmm(self.bias, h, self.weight, out=out)

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        torch.mm(delta, self.weight_t, out=out)

    def learn(self, h_t: Tensor, delta: Tensor, delta_t: Tensor, ones: Tensor, rate: float, keep: float) -> None:
        """Take the gradient, times `rate`, off `keep` times the parameters; or put it into `gradients`, if it has any.

        Args:
            h_t: The layer's inputs, transposed: (in_features, n).
            delta: δ, of shape (n, out_features).
            delta_t: δᵀ.
            ones: n of them; the sum over the batch is a product with them.
            rate: Learning rate, times what δ was not multiplied by; without the learning rate for `gradients`.
            keep: 1 without weight decay.
        """
        if self.gradients is None:
            self.weight.addmm_(h_t, delta, beta=keep, alpha=-rate)
            self.bias.addmv_(delta_t, ones, beta=keep, alpha=-rate)
        else:
            weight_gradient, bias_gradient = self.gradients
            weight_gradient.addmm_(h_t, delta, beta=0, alpha=rate)
            bias_gradient.addmv_(delta_t, ones, beta=0, alpha=rate)

    def update_model(self) -> None:
        """Copy the parameters into the nn.Linear they came from."""
        self._linear.weight.copy_(self.weight_t)
        self._linear.bias.copy_(self.bias)


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
        self._up = list(zip(layers[:-1], units, strict=True))
        self._down = list(zip(layers[1:], units, strict=True))[::-1]
        self._ones = layers[0].weight.new_ones(n)

    def __call__(self, inputs: Tensor, targets: Tensor, outputs: Tensor, lr: float, keep: float) -> None:
        """Put what the network makes of `inputs` into `outputs`, and have its layers learn.

        Back-propagation is linear in ∂loss/∂outputs: factors of it are as well applied at the end.

        Args:
            inputs: Of shape (n, in_features).
            targets: The batch's.
            outputs: Of shape (n, out_features).
            lr: Learning rate; 1 where layers keep gradients.
            keep: See `Layer.learn`.
        """
        self._forward(inputs, outputs)
        delta, factor = self._loss_gradient(outputs, targets)
        self._backward(inputs, delta, lr * factor, keep)

    def _forward(self, inputs: Tensor, outputs: Tensor) -> None:
        h = inputs
        for layer, unit in self._up:
            layer.forward(h, unit.z)
            h = unit.rise()
        self._top.forward(h, outputs)

    def _backward(self, inputs: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Have each layer learn from the top down, once its weights have told the layer below."""
        delta_t, ones = delta.t(), self._ones
        for layer, unit in self._down:
            layer.pull_back(delta, unit.gradient)
            layer.learn(unit.h_t, delta, delta_t, ones, rate, keep)
            delta, delta_t = unit.fall(), unit.gradient_t
        self._bottom.learn(inputs.t(), delta, delta_t, ones, rate, keep)


class _Unit:
    """What passes between two layers: h = σ(z), perhaps dropped out, on the way up; ∂loss/∂h and δ on the way down."""

    def __init__(self, layer: Layer, n: int) -> None:
        self._activation = layer.activation
        self._dropout = layer.dropout
        self.z = layer.weight.new_empty(n, len(layer.bias))
        self._activated = self.z if layer.activation.in_place else torch.empty_like(self.z)
        self._h = torch.empty_like(self.z) if layer.dropout else self._activated
        self._mask = torch.empty_like(self.z) if layer.dropout else self.z.new_empty(0)
        self.h_t = self._h.t()
        self.gradient = torch.empty_like(self.z)
        self.gradient_t = self.gradient.t()

    def rise(self) -> Tensor:
        """Return h of the z that has been put here."""
        self._activation.apply(self.z, self._activated)
        if self._dropout:
            keep = 1 - self._dropout
            torch.mul(self._activated, self._mask.bernoulli_(keep).div_(keep), out=self._h)
        return self._h

    def fall(self) -> Tensor:
        """Return δ, in place of the gradient that has been put here."""
        if self._dropout:
            self.gradient.mul_(self._mask)
        self._activation.pull_back(self.gradient, self.z, self._activated)
        return self.gradient


def is_known(model: nn.Sequential) -> bool:
    """Return whether the derivative of every layer of `model` is written out here."""
    return all(type(module) in (nn.Linear, nn.Dropout, *ELEMENTWISE) for module in model)


def read_layers(model: nn.Sequential, build: Callable[[nn.Linear], Layer] = Layer) -> list[Layer]:
    """Return the layers of a model that `is_known`: each Linear with the activation and dropout behind it."""
    layers: list[Layer] = []
    for module in model:
        if isinstance(module, nn.Linear):
            layers.append(build(module))
        elif isinstance(module, nn.Dropout):
            layers[-1].dropout = module.p
        else:
            layers[-1].activation = ELEMENTWISE[type(module)]
    return layers
