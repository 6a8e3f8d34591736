"""Inputs and targets to a common scale, by figures of the training examples only, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

_ROWS = 1024  # taken at once
BYTES = torch.uint8  # pixels, of which float32 would be four times as large


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

    @staticmethod
    def from_bytes() -> Scaling:
        """Return the scaling that brings bytes to 0..1."""
        return Scaling(torch.zeros(1, dtype=torch.float64), torch.full((1,), 255.0, dtype=torch.float64))

    def apply(self, values: Tensor) -> Tensor:
        """Return `values`, of shape (N, features), scaled; the type stays, but bytes become float32."""
        scaled = torch.empty(values.shape, dtype=_scaled_type(values), device=values.device)
        for part, out in zip(values.split(_ROWS), scaled.split(_ROWS), strict=True):  # each stays in cache throughout
            self.put(part, out)
        return scaled

    def put(self, values: Tensor, out: Tensor) -> None:
        """Put `values`, scaled, into `out`, of the same shape."""
        out.copy_(values)
        if self._shifts:
            out.sub_(self.shift.to(out.device, out.dtype))
        out.div_(self.scale.to(out.device, out.dtype))

    def to(self, device: torch.device, dtype: torch.dtype) -> Scaling:
        """Return the scaling for values of that device and type."""
        return Scaling(self.shift.to(device, dtype), self.scale.to(device, dtype))

    @cached_property
    def _shifts(self) -> bool:
        return bool(self.shift.any())

    def invert(self, scaled: Tensor) -> Tensor:
        """Return `scaled`, of shape (N, features), in its own unit again; the type stays."""
        return scaled * self.scale.to(scaled.device, scaled.dtype) + self.shift.to(scaled.device, scaled.dtype)

    def is_close(self, other: Scaling) -> bool:
        """Return whether two scalings are the same but for rounding, which differs between machines."""
        pairs = ((self.shift, other.shift), (self.scale, other.scale))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


def _scaled_type(values: Tensor) -> torch.dtype:
    return torch.float32 if values.dtype == BYTES else values.dtype


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
    if values.dtype == BYTES:
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
