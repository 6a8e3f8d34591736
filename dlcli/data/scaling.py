"""Inputs and targets to a common scale, by figures of the training examples only, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_ROWS = 1024  # taken at once


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
        """Return `values`, of shape (N, features), scaled; the type stays, but bytes become float32."""
        shift, scale = self._like(values)
        scaled = torch.empty(values.shape, dtype=shift.dtype, device=values.device)
        for part, out in zip(values.split(_ROWS), scaled.split(_ROWS), strict=True):  # each stays in cache for both
            torch.sub(part, shift, out=out).div_(scale)
        return scaled

    def invert(self, scaled: Tensor) -> Tensor:
        """Return `scaled`, of shape (N, features), in its own unit again; the type stays."""
        shift, scale = self._like(scaled)
        return scaled * scale + shift

    def is_close(self, other: Scaling) -> bool:
        """Return whether two scalings are the same but for rounding, which differs between machines."""
        pairs = ((self.shift, other.shift), (self.scale, other.scale))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)

    def _like(self, values: Tensor) -> tuple[Tensor, Tensor]:
        dtype = values.dtype if values.dtype.is_floating_point else torch.float32
        return self.shift.to(values.device, dtype), self.scale.to(values.device, dtype)


def fit_scaling(values: Tensor, how: Literal["none", "unit", "standard"], *, jointly: bool) -> Scaling:
    """Return the scaling that brings `values` to 0..1 (`unit`) or to mean 0, standard deviation 1.

    The standard deviation is that of the population (divided by N), as in scikit-learn. What is constant
    is only shifted.

    Args:
        values: Floating point, or bytes if taken jointly; shape (N, features).
        how: `none` leaves everything as it is.
        jointly: One figure for all features, as for the pixels of images, instead of one each.
    """
    if how == "none":
        return Scaling.identity()
    columns = values.reshape(-1, 1) if jointly else values
    if how == "unit":
        low, high = columns.amin(0).double(), columns.amax(0).double()
        return Scaling(low, _nowhere_zero(high - low))
    if values.dtype == torch.uint8:
        variance, mean = _var_mean_of_bytes(values)
    else:
        variance, mean = torch.var_mean(columns, dim=0, correction=0)
    return Scaling(mean.double(), _nowhere_zero(variance.double().sqrt()))


def _var_mean_of_bytes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return variance and mean, each of shape (1,), from how often each of the 256 values occurs."""
    counts = torch.bincount(values.flatten(), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64)
    mean = (counts @ levels / counts.sum()).reshape(1)
    return counts @ (levels - mean).square() / counts.sum(), mean


def _nowhere_zero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
