"""Fully connected layers as one matrix each, laid out in memory as their products are fastest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.threads import TWO_THREADS_FROM

_LINE = 16  # float32 values in a cache line
_LARGE = 2**15  # values in a matrix
_FEW = range(5, 12)  # units; MKL shares them between two threads with other bits than on one, unless 4 divides them


class Layer:
    """z = h W + b as one product: b is the last row of W, the weights of an input that is always 1.

    (Bishop, Pattern Recognition and Machine Learning, 2006, section 5.1.) So W has the shape (in_features + 1, units),
    the transpose of nn.Linear's. A few units may be idle: their weights are 0 and remain so, as their δ is 0. Gaps
    between rows in memory are 0 too, and in no matrix.

    Attributes:
        weight: W.
        memory: What W lies in. For an optimizer, which is fastest without gaps, these are the layer's parameters.
        gradient: ∂loss/∂W, where `keep_gradient` has made room for it.
        activation: Of the units.
        dropout: Share of the activations that is dropped.

    Args:
        linear: Where the parameters come from.
        by_units: Whether memory holds unit after unit, of weights and of activations. Otherwise it holds the weights
            of input after input, the activations of example after example. See `lie_by_units`.
    """

    def __init__(self, linear: nn.Linear, by_units: bool) -> None:
        self._linear = linear
        self._by_units = by_units
        units = linear.out_features
        self.idle_units = -units % 4 if by_units and units in _FEW else 0
        self.memory = self.join(linear.weight.detach(), linear.bias.detach())
        self.weight = self._matrix(self.memory)
        self.gradient: Tensor | None = None
        self.activation = ELEMENTWISE[nn.Identity]
        self.dropout = 0.0
        self._back = self.weight[:-1].t()

    @property
    def units(self) -> int:
        """Columns of W: the units of the nn.Linear, then the idle ones."""
        return self._linear.out_features + self.idle_units

    def keep_gradient(self) -> Tensor:
        """Have `learn` put the gradient into memory like that of W, which is returned."""
        memory = self._empty()
        self.gradient = self._matrix(memory)
        return memory

    def _empty(self) -> Tensor:
        inputs = self._linear.in_features + 1
        shape = (self.units, _in_lines(inputs)) if self._by_units else (inputs, self.units)
        return self._linear.weight.new_zeros(shape)

    def _matrix(self, memory: Tensor) -> Tensor:
        """Return what is like W in memory like that of W."""
        return memory[:, : self._linear.in_features + 1].t() if self._by_units else memory

    def activations(self, n: int) -> Tensor:
        """Return memory for `outputs` and a last column of ones: (n, units + 1)."""
        like = self._linear.weight
        if self._by_units:
            return like.new_ones(self.units + 1, n).t()
        return ones_beside(n, self.units, dtype=like.dtype, device=like.device)

    def outputs(self, n: int) -> Tensor:
        """Return memory for what the layer makes of n examples: (n, units); 0 before anything is made."""
        like = self._linear.weight
        return like.new_zeros(self.units, n).t() if self._by_units else like.new_zeros(n, self.units)

    def without_idle(self, outputs: Tensor) -> Tensor:
        """Return the columns of the nn.Linear's units."""
        return outputs[:, : -self.idle_units] if self.idle_units else outputs

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`; h has a last column of ones."""
        torch.mm(h, self.weight, out=out)

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        torch.mm(delta, self._back, out=out)

    def learn(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Take the gradient, times `rate`, off `keep` times the parameters; or put it into `gradient`, if there is one.

        Large matrices that lie by units are multiplied beforehand, as MKL takes longer for it, even to multiply by 0.

        Args:
            h_t: The layer's inputs, transposed: (in_features + 1, n), the last row ones.
            delta: δ, of shape (n, units).
            rate: Learning rate, times what δ was not multiplied by; without the learning rate for `gradient`.
            keep: 1 without weight decay.
        """
        if self.gradient is None:
            if self._by_units and keep != 1 and self.memory.numel() > _LARGE:
                self.memory.mul_(keep)
                keep = 1.0
            self.weight.addmm_(h_t, delta, beta=keep, alpha=-rate)
        else:
            if self._by_units:
                self.gradient.zero_()
            self.gradient.addmm_(h_t, delta, beta=int(self._by_units), alpha=rate)

    def join(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return memory like that of W, for a weight and bias, or what an optimizer knows of them, as nn.Linear's."""
        memory = self._empty()
        own_weight, own_bias = self.part(memory)
        own_weight.copy_(weight)
        own_bias.copy_(bias)
        return memory

    def part(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias, shaped like nn.Linear's, that lie in memory like that of W."""
        own = self.without_idle(self._matrix(memory))
        return own[:-1].t(), own[-1]

    def update_model(self) -> None:
        """Copy the parameters into the nn.Linear they came from."""
        weight, bias = self.part(self.memory)
        self._linear.weight.copy_(weight)
        self._linear.bias.copy_(bias)


def ones_beside(n: int, features: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return memory for n inputs and a last column of ones, (n, features + 1); every row begins a cache line."""
    return torch.ones(n, _in_lines(features + 1), dtype=dtype, device=device)[:, : features + 1]


def _in_lines(values: int) -> int:
    """Return how many values there is room for in the cache lines of so many."""
    return -(-values // _LINE) * _LINE


def lie_by_units(linears: Sequence[nn.Linear], n: int) -> list[bool]:
    """Return for each layer of a network whether it lies in memory by units, for batches of n examples.

    What is more, units or examples, is shared by the threads, so that each keeps to its own half of memory: for
    batches of 64, 784-256-128-10 is 3 % faster by units, 784-1024-10 23 %; for batches of 512, the former is 5 % faster
    by examples. The few units of a top layer lie by units always: 784-10 takes half to a third of the time. A GPU
    shares out both, and takes a kernel less for what lies by examples: see `Layer.learn`.
    """
    if linears[0].weight.device.type == "cuda":
        return [False] * len(linears)
    widest = max((linear.out_features for linear in linears[:-1]), default=0)
    is_shared = n * max(linear.weight.numel() for linear in linears) >= TWO_THREADS_FROM
    hidden = [is_shared and n < widest and linear.out_features not in _FEW for linear in linears[:-1]]
    return [*hidden, True]
