"""Inputs and targets to a common scale, by figures of the training examples only, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """scaled = (values − shift) / scale.

    Attributes:
        shift: float64, shape (features,) or (1,).
        scale: float64, the same shape, nowhere 0.
    """

    shift: Tensor
    scale: Tensor

    @staticmethod
    def identity() -> Scaling:
        """Return the scaling that changes nothing."""
        return Scaling(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))

    def apply(self, values: Tensor) -> Tensor:
        """Return `values`, of shape (N, features), scaled; the type stays."""
        shift, scale = self._like(values)
        return (values - shift).div_(scale)

    def invert(self, scaled: Tensor) -> Tensor:
        """Return `scaled`, of shape (N, features), in its own unit again; the type stays."""
        shift, scale = self._like(scaled)
        return scaled * scale + shift

    def is_close(self, other: Scaling) -> bool:
        """Return whether two scalings are the same but for rounding, which differs between machines."""
        pairs = ((self.shift, other.shift), (self.scale, other.scale))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)

    def _like(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return self.shift.to(values.device, values.dtype), self.scale.to(values.device, values.dtype)


def fit_scaling(values: Tensor, how: Literal["none", "unit", "standard"], *, jointly: bool) -> Scaling:
    """Return the scaling that brings `values` to 0..1 (`unit`) or to mean 0, standard deviation 1.

    The standard deviation is that of the population (divided by N), as in scikit-learn. What is constant
    is only shifted.

    Args:
        values: Floating point, shape (N, features).
        how: `none` leaves everything as it is.
        jointly: One figure for all features, as for the pixels of images, instead of one each.
    """
    if how == "none":
        return Scaling.identity()
    columns = values.reshape(-1, 1) if jointly else values
    if how == "unit":
        low, high = columns.amin(0).double(), columns.amax(0).double()
        return Scaling(low, _nowhere_zero(high - low))
    variance, mean = torch.var_mean(columns, dim=0, correction=0)
    return Scaling(mean.double(), _nowhere_zero(variance.double().sqrt()))


def _nowhere_zero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
