"""Forward pass in which the outputs for an example do not depend on the other examples, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.training.threads import thread_count

# Examples per matrix product. Matrix libraries divide a product into tiles with a height of 4, 6, 8, 12, 14, 16, 24, 28
# or 30 rows. The number is a multiple of all of these heights, so that every example is in a full tile.
ROWS = 1680
_UNITS = 16  # units per layer are a multiple of this, so that every example begins on a boundary of 64 bytes


class RowModel:
    """Model whose outputs for an example are the same, to the last bit, alone, among others and in any order.

    Matrix libraries sum the terms of an output in an order that depends on the shape of the matrix product, on the
    position of the example, on its alignment in memory and on the number of threads. Here, every matrix product has the
    same number of examples, every example begins on a 64-byte boundary and is in a full tile, and one thread computes.
    Shapes are padded with units and examples of zeros, which do not contribute to the outputs and are cut off.

    Args:
        model: Network of Linear, BatchNorm1d, activation and Dropout layers, on the CPU.
    """

    def __init__(self, model: nn.Sequential) -> None:
        self._layers = [_pad(layer) for layer in model if not isinstance(layer, nn.Dropout)]
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        self._in_features, self.out_features = linear[0].in_features, linear[-1].out_features
        self.dtype = linear[0].weight.dtype
        self._inputs = torch.zeros(ROWS, _padded(self._in_features), dtype=self.dtype)

    @torch.no_grad()
    def outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs for at most `ROWS` inputs, of shape (`ROWS`, out_features); ignore further rows.

        Elementwise results that one thread computes from all `ROWS` rows depend on their own row only, too. With fewer
        rows this may fail: torch computes the last elements of a tensor in another way than the others if they do not
        fill a vector register.

        Args:
            inputs: Model inputs of shape (N, in_features).
        """
        with thread_count(1):
            self._inputs[: len(inputs), : self._in_features] = inputs
            self._inputs[len(inputs) :] = 0
            values = self._inputs
            for layer in self._layers:
                values = layer(values)
        return values[:, : self.out_features]


def row_parts(count: int) -> Iterator[slice]:
    """Yield the parts of `count` rows that `RowModel.outputs` takes."""
    return (slice(start, min(start + ROWS, count)) for start in range(0, count, ROWS))


def _padded(units: int) -> int:
    return -(-units // _UNITS) * _UNITS


def _pad(layer: nn.Module) -> nn.Module:
    """Return a layer of padded width that computes the same."""
    if isinstance(layer, nn.Linear):
        return _PaddedLinear(layer)
    if isinstance(layer, nn.BatchNorm1d):
        return _Affine(layer)
    return layer


def _pad_vector(values: Tensor, filling: float) -> Tensor:
    padded = values.detach().new_full((_padded(len(values)),), filling)
    padded[: len(values)] = values.detach()
    return padded


class _PaddedLinear(nn.Module):
    """Linear layer of padded width; nn.Linear would draw random numbers."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self._weight = layer.weight.detach().new_zeros(_padded(layer.out_features), _padded(layer.in_features))
        self._weight[: layer.out_features, : layer.in_features] = layer.weight.detach()
        self._bias = _pad_vector(layer.bias, 0.0)

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, self._weight, self._bias)


class _Affine(nn.Module):
    """BatchNorm1d in evaluation mode, (x − mean) / √(variance + ε) · weight + bias, operation by operation."""

    def __init__(self, layer: nn.BatchNorm1d) -> None:
        super().__init__()
        assert layer.running_mean is not None
        assert layer.running_var is not None
        self._mean = _pad_vector(layer.running_mean, 0.0)
        self._deviation = _pad_vector((layer.running_var + layer.eps).sqrt(), 1.0)
        self._weight, self._bias = _pad_vector(layer.weight, 1.0), _pad_vector(layer.bias, 0.0)

    def forward(self, values: Tensor) -> Tensor:
        return ((values - self._mean) / self._deviation) * self._weight + self._bias
