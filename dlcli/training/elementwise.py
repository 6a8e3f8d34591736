"""Activations and their derivatives, on memory that is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
