"""Fully connected layers as one matrix each, in the memory layout with the fastest products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlcli.training.fast.activations import ELEMENTWISE
from dlcli.training.fast.memory import in_lines
from dlcli.training.threads import TWO_THREADS_FROM

_LARGE = 2**15  # a matrix with more values counts as large
FEW = range(5, 12)  # with so few units, MKL's last bits depend on the number of threads, unless 4 divides the units


class Layer:
    """Linear layer z = h W + b as one product: b is the last row of W, for an input that is always 1.

    (Bishop, Pattern Recognition and Machine Learning, 2006, section 5.1.) W has the shape (in_features + 1, units), the
    transpose of nn.Linear's. A few padding units may be added; their weights and their δ are always 0. Gaps between
    rows in memory are 0 too and belong to no matrix.

    Attributes:
        linear: Linear module with the parameters.
        weight: W.
        back: W without the biases, transposed.
        memory: Memory of W, including gaps; optimizers update all of it, which is faster than skipping the gaps.
        gradient: ∂loss/∂W; None unless `keep_gradient` has allocated it.
        unit_major: Whether weights and activations are stored unit by unit.
        activation: Activation of the units.
        dropout: Probability of dropping an activation.

    Args:
        linear: Linear module.
        unit_major: Whether weights and activations are stored unit by unit. Otherwise weights are stored input by
            input, activations example by example. See `choose_layout`.
    """

    def __init__(self, linear: nn.Linear, unit_major: bool) -> None:
        self.linear = linear
        self.unit_major = unit_major
        units = linear.out_features
        self.padding_units = -units % 4 if unit_major and units in FEW else 0
        self.gradient: Tensor | None = None
        self.activation = ELEMENTWISE[nn.Identity]
        self.dropout = 0.0
        self.use(self.pack(linear.weight.detach(), linear.bias.detach()))

    @property
    def units(self) -> int:
        """Number of columns of W: the units of the nn.Linear and the padding units."""
        return self.linear.out_features + self.padding_units

    def use(self, memory: Tensor, gradient: Tensor | None = None) -> None:
        """Use `memory`, which contains the values of W, as memory of W, and `gradient` as memory of its gradient.

        Args:
            memory: New memory of W.
            gradient: New memory of the gradient; None keeps the current one, if there is one.
        """
        self.memory = memory
        self.weight = self._matrix(memory)
        self.back = self.weight[..., :-1, :].mT
        self._own_parameters = self.unpack(memory)
        if gradient is not None:
            self.gradient = self._matrix(gradient)

    def keep_gradient(self) -> Tensor:
        """Allocate and return memory for the gradient; from then on, `update` stores the gradient there."""
        memory = self._empty()
        self.gradient = self._matrix(memory)
        return memory

    def _empty(self) -> Tensor:
        inputs = self.linear.in_features + 1
        shape = (self.units, in_lines(inputs)) if self.unit_major else (inputs, self.units)
        return self.linear.weight.new_zeros(shape)

    def _matrix(self, memory: Tensor) -> Tensor:
        """Return a view of `memory`, which has the layout of `Layer.memory`, with the shape of W."""
        return memory[..., : self.linear.in_features + 1].mT if self.unit_major else memory

    def activations(self, n: int) -> Tensor:
        """Return memory for outputs with a last column of ones: (n, units + 1)."""
        like = self.linear.weight
        if self.unit_major:
            return like.new_ones(self.units + 1, n).t()
        return with_ones_column(n, self.units, dtype=like.dtype, device=like.device)

    def outputs(self, n: int) -> Tensor:
        """Return zero-initialised memory for the outputs of n examples: (n, units)."""
        like = self.linear.weight
        return like.new_zeros(self.units, n).t() if self.unit_major else like.new_zeros(n, self.units)

    def trim_padding(self, outputs: Tensor) -> Tensor:
        """Return the outputs without the padding units."""
        return outputs[..., : -self.padding_units] if self.padding_units else outputs

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Write z = h W to `out`; h has a last column of ones."""
        torch.mm(h, self.weight, out=out)

    def backward_input(self, delta: Tensor, out: Tensor) -> None:
        """Write ∂loss/∂h to `out`."""
        torch.mm(delta, self.back, out=out)

    def update(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Update W ← keep · W − rate · ∂loss/∂W; with a gradient buffer, store rate · ∂loss/∂W there instead.

        Large unit-major matrices are multiplied by `keep` beforehand, because that is faster than in MKL's product.

        Args:
            h_t: Inputs of the layer, transposed: (in_features + 1, n), with a last row of ones.
            delta: δ, of shape (n, units).
            rate: Learning rate times the scalar factor left out of δ; the factor alone with a gradient buffer.
            keep: Factor of weight decay; 1 without weight decay.
        """
        if self.gradient is None:
            if self.unit_major and keep != 1 and self.memory.numel() > _LARGE:
                self.memory.mul_(keep)
                keep = 1.0
            self.weight.addmm_(h_t, delta, beta=keep, alpha=-rate)
        else:
            if self.unit_major:
                self.gradient.zero_()
            self.store_gradient(h_t, delta, rate)

    def store_gradient(self, h_t: Tensor, delta: Tensor, rate: float) -> None:
        """Store rate · ∂loss/∂W, see `update`; the gradient of a unit-major layer must be 0 before the call."""
        assert self.gradient is not None, "keep_gradient has allocated it"
        self.gradient.addmm_(h_t, delta, beta=int(self.unit_major), alpha=rate)

    def pack(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return weight and bias of an nn.Linear, or their optimizer state, in the memory layout of W."""
        memory = self._empty()
        packed_weight, packed_bias = self.unpack(memory)
        packed_weight.copy_(weight)
        packed_bias.copy_(bias)
        return memory

    def unpack(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return views of weight and bias with the shapes of an nn.Linear; the inverse of `pack`."""
        matrix = self.trim_padding(self._matrix(memory))
        return matrix[..., :-1, :].mT, matrix[..., -1, :]

    def update_model(self) -> None:
        """Copy the parameters into the nn.Linear."""
        weight, bias = self._own_parameters
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)


def with_ones_column(n: int, features: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return memory for n inputs with a last column of ones, (n, features + 1); each row starts at a cache line."""
    return torch.ones(n, in_lines(features + 1), dtype=dtype, device=device)[:, : features + 1]


def choose_layout(linears: Sequence[nn.Linear], n: int) -> list[bool]:
    """Return for each layer of a network whether it is unit-major, for batches of n examples.

    Threads divide the larger of the two dimensions, units or examples, and that dimension should be contiguous: for
    batches of 64, 784-256-128-10 is 3 % faster unit-major and 784-1024-10 23 %; for batches of 512, the former is 5 %
    faster example-major. The last layer, with few units, is always unit-major: 784-10 then takes a half to a third of
    the time. On a GPU, `Layer.update` needs one kernel less for example-major layers.
    """
    if linears[0].weight.device.type == "cuda":
        return [False] * len(linears)
    widest = max((linear.out_features for linear in linears[:-1]), default=0)
    is_shared = n * max(linear.weight.numel() for linear in linears) >= TWO_THREADS_FROM
    hidden = [is_shared and n < widest and linear.out_features not in FEW for linear in linears[:-1]]
    return [*hidden, True]
