"""Activations and their derivatives, computed in preallocated memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.model import Heaviside

Backward: TypeAlias = Callable[[Tensor, Tensor, Tensor], object]

_SLOPE = 0.01  # slope of leaky_relu below 0, nn.LeakyReLU's default
_ROUNDING = 1e-5  # tolerance for rounding of float32 derivatives, which are around 1


@dataclass(frozen=True)
class Elementwise:
    """Activation σ and its derivative.

    Attributes:
        apply: Function (z, h) that writes σ(z) to h; if `in_place`, h and z share memory.
        formula: Function (gradient, z, h) that multiplies the gradient ∂loss/∂h by σ′(z), which gives δ.
        in_place: Whether σ(z) may overwrite z, because `formula` does not use z.
        kernel: Name of torch's fused kernel of the derivative; None if it is not faster.
        settings: Further arguments of the kernel, after the gradient and z (h if `in_place`).
        is_stackable: Whether one call for several models, with gaps between their values, runs the same kernels as one
            call for each model. For gelu, torch selects another kernel if there are gaps.
    """

    apply: Callable[[Tensor, Tensor], object]
    formula: Backward
    in_place: bool = True
    kernel: str | None = None
    settings: tuple[object, ...] = ()
    is_stackable: bool = True

    @cached_property
    def backward(self) -> Backward:
        """Torch's kernel if it agrees with `formula` at a few points, otherwise `formula`.

        The kernels are undocumented and may change between versions.
        """
        if self.kernel is None:
            return self.formula
        try:
            kernel = self._load(self.kernel)
            return kernel if self._agrees(kernel) else self.formula
        except (AttributeError, RuntimeError, TypeError):  # another version of torch may have no such kernel
            return self.formula

    def _load(self, name: str) -> Backward:
        kernel, settings = getattr(torch.ops.aten, name).grad_input, self.settings
        if self.in_place:
            return lambda gradient, _z, h: kernel(gradient, h, *settings, grad_input=gradient)
        return lambda gradient, z, _h: kernel(gradient, z, *settings, grad_input=gradient)

    def _agrees(self, kernel: Backward) -> bool:
        """Return whether a kernel agrees with the formula at a few points."""
        z = torch.linspace(-3, 3, 12)
        h = z if self.in_place else torch.empty_like(z)
        self.apply(z, h)
        actual, expected = torch.ones_like(z), torch.ones_like(z)
        kernel(actual, z, h)
        self.formula(expected, z, h)
        return torch.allclose(actual, expected, atol=_ROUNDING)


def _through_sigmoid(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = h(1 − h)."""
    gradient.mul_(h).addcmul_(gradient, h, value=-1)


def _through_tanh(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = 1 − h²."""
    gradient.addcmul_(gradient * h, h, value=-1)


def _through_relu(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = 1 above 0, otherwise 0."""
    gradient.mul_(h > 0)


def _through_leaky_relu(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    """σ′ = 1 above 0, otherwise the slope."""
    torch.where(h > 0, gradient, gradient * _SLOPE, out=gradient)


def _through_softplus(gradient: Tensor, z: Tensor, _h: Tensor) -> None:
    """σ′ = sigmoid(z)."""
    gradient.mul_(torch.sigmoid(z))


def _through_gelu(gradient: Tensor, z: Tensor, _h: Tensor) -> None:
    """σ′ = Φ(z) + z φ(z), with the standard normal distribution Φ and its density φ."""
    density = (z.square() * -0.5).exp_().div_(math.sqrt(2 * math.pi))
    gradient.mul_(torch.special.ndtr(z).addcmul_(z, density))


def _through_silu(gradient: Tensor, z: Tensor, h: Tensor) -> None:
    """σ′ = h + s(1 − h), with s = sigmoid(z) and h = z s."""
    s = torch.sigmoid(z)
    gradient.mul_(h + s - s * h)


# By module type; models with other modules train with autograd.
ELEMENTWISE: dict[type[nn.Module], Elementwise] = {
    nn.Identity: Elementwise(lambda _z, _h: None, lambda _gradient, _z, _h: None),
    nn.Sigmoid: Elementwise(lambda z, _h: z.sigmoid_(), _through_sigmoid, kernel="sigmoid_backward"),
    nn.Tanh: Elementwise(lambda z, _h: z.tanh_(), _through_tanh, kernel="tanh_backward"),
    nn.ReLU: Elementwise(lambda z, _h: z.relu_(), _through_relu, kernel="threshold_backward", settings=(0,)),
    nn.LeakyReLU: Elementwise(
        lambda z, _h: F.leaky_relu_(z, _SLOPE),
        _through_leaky_relu,
        kernel="leaky_relu_backward",
        settings=(_SLOPE, True),
    ),
    nn.Softplus: Elementwise(lambda z, h: h.copy_(F.softplus(z)), _through_softplus, in_place=False),
    nn.GELU: Elementwise(
        lambda z, h: h.copy_(F.gelu(z)), _through_gelu, in_place=False, kernel="gelu_backward", is_stackable=False
    ),
    nn.SiLU: Elementwise(lambda z, h: h.copy_(F.silu(z)), _through_silu, in_place=False, kernel="silu_backward"),
    Heaviside: Elementwise(lambda z, _h: torch.gt(z, 0, out=z), lambda gradient, _z, _h: gradient.zero_()),
}
