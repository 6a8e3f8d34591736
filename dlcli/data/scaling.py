"""Scaling of inputs and targets, fitted on the training examples only, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

_ROWS = 1024  # rows per block, so that a block stays in the CPU cache
_SAFE_EXPONENT = 300  # magnitudes from 2^-300 to 2^300 are safe
BYTES = torch.uint8  # pixels; float32 would take four times the memory


@dataclass(frozen=True)
class Scaling:
    """Affine scaling: scaled = (values − shift) / scale.

    Attributes:
        shift: Subtracted value, float64 of shape (features,) or (1,).
        scale: Divisor, float64 of the same shape, never 0.
    """

    shift: Tensor
    scale: Tensor

    @staticmethod
    def identity() -> Scaling:
        """Return the identity scaling."""
        return Scaling(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))

    @staticmethod
    def from_bytes() -> Scaling:
        """Return the scaling that maps bytes to 0..1."""
        return Scaling(torch.zeros(1, dtype=torch.float64), torch.full((1,), 255.0, dtype=torch.float64))

    def apply(self, values: Tensor) -> Tensor:
        """Return scaled `values` of shape (N, features) in the same dtype; bytes become float32."""
        scaled = torch.empty(values.shape, dtype=_scaled_dtype(values), device=values.device)
        for part, out in zip(values.split(_ROWS), scaled.split(_ROWS), strict=True):
            self.put(part, out)
        return scaled

    def put(self, values: Tensor, out: Tensor) -> None:
        """Write scaled `values` into `out` of the same shape."""
        out.copy_(values)
        if self._shifts:
            out.sub_(self.shift.to(out.device, out.dtype))
        out.div_(self.scale.to(out.device, out.dtype))

    def to(self, device: torch.device, dtype: torch.dtype) -> Scaling:
        """Return the scaling for values with this device and dtype."""
        return Scaling(self.shift.to(device, dtype), self.scale.to(device, dtype))

    @cached_property
    def _shifts(self) -> bool:
        return bool(self.shift.any())

    def invert(self, scaled: Tensor) -> Tensor:
        """Return the unscaled values of `scaled`, of shape (N, features), in the same dtype."""
        return scaled * self.scale.to(scaled.device, scaled.dtype) + self.shift.to(scaled.device, scaled.dtype)

    def is_close(self, other: Scaling) -> bool:
        """Return whether two scalings are equal up to rounding, which differs between machines."""
        pairs = ((self.shift, other.shift), (self.scale, other.scale))
        return all(a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


def _scaled_dtype(values: Tensor) -> torch.dtype:
    return torch.float32 if values.dtype == BYTES else values.dtype


def fit_scaling(values: Tensor, how: Literal["none", "unit", "symmetric", "standard"], *, jointly: bool) -> Scaling:
    """Fit a scaling of `values` to 0..1 (`unit`), to −1..1 (`symmetric`) or to mean 0 and deviation 1 (`standard`).

    Uses the population standard deviation (divided by N), as scikit-learn does. Constant features are only shifted.

    Args:
        values: Floating point, or bytes if `jointly` is set; shape (N, features).
        how: Kind of scaling; `none` returns the identity.
        jointly: Whether all features share one shift and scale, as for pixels, instead of one per feature.
    """
    if how == "none":
        return Scaling.identity()
    columns = values.reshape(-1, 1) if jointly else values
    if how in ("unit", "symmetric"):
        low, high = columns.amin(0).double(), columns.amax(0).double()
        half = high / 2 - low / 2  # high - low may overflow
        return (
            Scaling(low + half, _replace_zeros(half))
            if how == "symmetric"
            else Scaling(low, _replace_zeros(high - low))
        )
    if values.dtype == torch.float64:
        deviation, mean = _std_mean_of_doubles(columns)
        return Scaling(mean, _replace_zeros(deviation))
    if values.dtype == BYTES:
        variance, mean = _var_mean_of_bytes(values)
    else:
        variance, mean = torch.var_mean(columns, dim=0, correction=0)
    return Scaling(mean.double(), _replace_zeros(variance.double().sqrt()))


def _var_mean_of_bytes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Compute variance and mean, each of shape (1,), from a histogram of the 256 values."""
    counts = torch.bincount(values.flatten(), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64)
    mean = (counts @ levels / counts.sum()).reshape(1)
    return counts @ (levels - mean).square() / counts.sum(), mean


def _std_mean_of_doubles(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the deviation and mean of each column in two passes; constant columns have a deviation of exactly 0.

    A mean of 1.7e9 seconds has a rounding error of 1e-7 seconds at best; the second pass corrects the variance for it.
    """
    # Transposed, because NumPy's sums are pairwise along the last axis only.
    values, exponents = to_safe_exponents(np.ascontiguousarray(columns.numpy().T))
    mean = values.mean(1)
    centred = values - mean[:, np.newaxis]
    error = centred.mean(1)
    variance = np.square(centred, out=centred).mean(1) - np.square(error)
    low, high = values.min(1), values.max(1)
    constant = low == high
    deviation = np.sqrt(np.where(constant, 0, variance.clip(min=0)))
    return (
        torch.from_numpy(np.ldexp(deviation, exponents)),
        torch.from_numpy(np.ldexp(np.where(constant, low, mean), exponents)),
    )


def to_safe_exponents(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale values by powers of 2 so that their sums and squares neither overflow nor vanish.

    Rows whose largest magnitude is between about 1e-90 and 1e90 stay as they are, with the exponent 0. If this is so
    for all rows, the values are not copied.

    Args:
        values: Float64 of shape (..., N) with N ≥ 1; the last axis is a row.

    Returns:
        The scaled values, and the exponent of the power of 2 that restores each row, of shape (...).
    """
    exponents = np.frexp(np.maximum(values.max(-1), -values.min(-1)))[1]
    exponents[np.abs(exponents) <= _SAFE_EXPONENT] = 0
    return np.ldexp(values, -exponents[..., np.newaxis]) if exponents.any() else values, exponents


def _replace_zeros(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))


class RangeError(ValueError):
    """Error for a column with a value that becomes infinite, or whose values all become 0, in the dtype of training.

    Args:
        column: Name of the column.
        value: The value, in the unit of the column.
        is_large: Whether the value is too large; otherwise it is too small.
    """

    def __init__(self, column: str, value: float, *, is_large: bool) -> None:
        super().__init__(column, value)
        self.column, self.value, self.is_large = column, value, is_large


def check_range(column: str, scaled: Tensor, values: np.ndarray, rows: np.ndarray | slice = slice(None)) -> None:
    """Check that values are finite after scaling and rounding, and do not all become 0.

    Args:
        column: Name of the column.
        scaled: Values of the rows, scaled and rounded, of shape (N,).
        values: Float64 values of the column, NaN where missing.
        rows: Rows of `scaled`.

    Raises:
        RangeError: If this check fails; it has the value of the largest magnitude.
    """
    if not len(scaled):
        return
    low, high = scaled.numpy().min(), scaled.numpy().max()  # NaN if a value is NaN
    is_finite = bool(np.isfinite(low) and np.isfinite(high))
    if is_finite and (low or high):
        return
    chosen = values[rows]
    largest = float(chosen[np.nanargmax(np.abs(chosen))]) if not np.isnan(chosen).all() else 0.0
    if not is_finite or 0 < abs(largest) < torch.finfo(scaled.dtype).tiny:
        raise RangeError(column, largest, is_large=not is_finite)
