"""Back-propagation written out for fully connected networks: no autograd graph, no memory allocated per step.

With inputs h⁰ and layers l = 1 … L, each zˡ = hˡ⁻¹ Wˡ + bˡ and hˡ = σ(zˡ), the chain rule gives from the top down

    δᴸ = ∂loss/∂zᴸ                      the task's; p − y for softmax with cross-entropy
    δˡ = (δˡ⁺¹ Wˡ⁺¹ᵀ) ⊙ σ′(zˡ)          pulled back through the weights, then through σ
    ∂loss/∂Wˡ = hˡ⁻¹ᵀ δˡ,   ∂loss/∂bˡ = Σ δˡ over the batch

(Rumelhart, Hinton and Williams, 1986). With a 1 appended to every h and b as the last row of W, the biases need no
formulas of their own. Plain gradient descent needs no gradient in memory: the product hˡ⁻¹ᵀ δˡ goes straight into the
weights, scaled by −lr.
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

_LINE = 16  # float32 values in a cache line

LossGradient: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, float]]


class Layer:
    """z = h W + b as one product: b is the last row of W, the weights of an input that is always 1.

    (Bishop, Pattern Recognition and Machine Learning, 2006, section 5.1.) So W has the shape (in_features + 1,
    out_features): the transpose of nn.Linear's, for then products are faster and don't depend on the number of threads.
    """

    def __init__(self, linear: nn.Linear) -> None:
        self._linear = linear
        self.weight = join(linear.weight.detach(), linear.bias.detach())
        self.gradient: Tensor | None = None
        self.activation = ELEMENTWISE[nn.Identity]
        self.dropout = 0.0
        self._back = self.weight[:-1].t()

    @property
    def out_features(self) -> int:
        """Units of the layer."""
        return self.weight.shape[1]

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`; h has a last column of ones."""
        torch.mm(h, self.weight, out=out)

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        torch.mm(delta, self._back, out=out)

    def learn(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Take the gradient, times `rate`, off `keep` times the parameters; or put it into `gradient`, if there is one.

        Args:
            h_t: The layer's inputs, transposed: (in_features + 1, n), the last row ones.
            delta: δ, of shape (n, out_features).
            rate: Learning rate, times what δ was not multiplied by; without the learning rate for `gradient`.
            keep: 1 without weight decay.
        """
        if self.gradient is None:
            self.weight.addmm_(h_t, delta, beta=keep, alpha=-rate)
        else:
            self.gradient.addmm_(h_t, delta, beta=0, alpha=rate)

    def update_model(self) -> None:
        """Copy the parameters into the nn.Linear they came from."""
        weight, bias = part(self.weight)
        self._linear.weight.copy_(weight)
        self._linear.bias.copy_(bias)


def join(weight: Tensor, bias: Tensor) -> Tensor:
    """Return what a `Layer` keeps instead of an nn.Linear's weight and bias, or of what an optimizer knows of them."""
    return torch.cat([weight.t(), bias.unsqueeze(0)])


def part(joint: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias, shaped like nn.Linear's, of what `join` returned."""
    return joint[:-1].t(), joint[-1]


def ones_beside(n: int, features: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return memory for n inputs and a last column of ones, (n, features + 1); every row begins a cache line."""
    width = -(-(features + 1) // _LINE) * _LINE
    return torch.ones(n, width, dtype=dtype, device=device)[:, : features + 1]


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

    def __call__(self, inputs: Tensor, targets: Tensor, outputs: Tensor, lr: float, keep: float) -> None:
        """Put what the network makes of `inputs` into `outputs`, and have its layers learn.

        Back-propagation is linear in ∂loss/∂outputs: factors of it are as well applied at the end.

        Args:
            inputs: With a last column of ones: (n, in_features + 1); see `ones_beside`.
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
        for layer, unit in self._down:
            layer.pull_back(delta, unit.gradient)
            layer.learn(unit.h_t, delta, rate, keep)
            delta = unit.fall()
        self._bottom.learn(inputs.t(), delta, rate, keep)


class _Unit:
    """What passes between two layers: h = σ(z), perhaps dropped out, on the way up; ∂loss/∂h and δ on the way down.

    In memory an example is a column: products are faster so, by a twentieth to a sixth.
    """

    def __init__(self, layer: Layer, n: int) -> None:
        self._activation = layer.activation
        self._dropout = layer.dropout
        self.h_t = layer.weight.new_ones(layer.out_features + 1, n)  # a last row of ones
        self._h = self.h_t.t()
        self._dropped = self._h[:, :-1]
        self._activated = torch.empty_like(self._dropped) if layer.dropout else self._dropped
        self.z = self._activated if layer.activation.in_place else torch.empty_like(self._dropped)
        self.gradient = torch.empty_like(self._dropped)
        self._mask = layer.weight.new_empty(n, layer.out_features if layer.dropout else 0)  # drawn as nn.Dropout does

    def rise(self) -> Tensor:
        """Return h of the z that has been put here, with a last column of ones."""
        self._activation.apply(self.z, self._activated)
        if self._dropout:
            keep = 1 - self._dropout
            torch.mul(self._activated, self._mask.bernoulli_(keep).div_(keep), out=self._dropped)
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
