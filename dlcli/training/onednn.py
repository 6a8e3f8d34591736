"""Large products by oneDNN, on processors where it is much faster than torch's usual library.

On AMD processors with full-width AVX-512, torch's usual library, MKL, runs float32 products at half of oneDNN's
speed; on their predecessors and on Intel's both are equal. torch has no public way to choose oneDNN without allowing
it to round float32 (`torch.set_float32_matmul_precision`), but the operation that torch.compile uses does. It is
private: where it is missing, wrong or not faster, the usual library is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.training.layers import Layer

Library: TypeAlias = Literal["torch", "onednn"]

MIN_OPERATIONS = 2**22  # multiplications in a product; smaller ones suffer from what a call of oneDNN costs
_MIN_GAIN = 1.3  # clear of noise, so that the choice, which decides the last bits, is the same in every run
_MAX_ERROR = 1e-5  # relative; float32 sums of this length err by 1e-7 to 1e-6, bfloat16's by 1e-2
_PROBE, _ROUNDS = (64, 512, 256), 15


class OneDnnLayer(Layer):
    """A layer whose products are oneDNN's."""

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`."""
        out.copy_(_multiply(h, self.weight.t()))

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        out.copy_(_multiply(delta, self.weight[:-1]))

    def learn(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """Take the gradient, times `rate`, off `keep` times the parameters; or put it into `gradient`."""
        if self.gradient is None:
            kept = self.weight if keep == 1 else self.weight * keep
            self.memory = self.weight = _multiply_add(h_t, delta.t() * -rate, kept)
        else:
            self.gradient.copy_(_multiply(h_t, delta.t())).mul_(rate)


def build_layer(linear: nn.Linear, by_units: bool, *, n: int, library: Library | None = None) -> Layer:
    """Return a layer for batches of `n` examples, by the library that is faster for its products here, or by `library`.

    oneDNN is not taken where it is missing or wrong, whoever asks for it. It returns new memory, example by example.
    """
    weight = linear.weight
    is_candidate = weight.device.type == "cpu" and weight.dtype == torch.float32
    is_large = n * weight.numel() >= MIN_OPERATIONS
    if library == "torch" or not (is_candidate and is_large):
        return Layer(linear, by_units)
    gain = measure_gain()
    is_taken = gain >= _MIN_GAIN or (gain > 0 and library == "onednn")
    return OneDnnLayer(linear, by_units=False) if is_taken else Layer(linear, by_units)


@cache
def measure_gain() -> float:
    """Return how many times as fast as the usual library oneDNN is on one thread, which load disturbs least.

    0 where it is missing, or less accurate than float32.
    """
    if not torch.backends.mkldnn.is_available():
        return 0.0
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(_PROBE[0], _PROBE[1], generator=generator)
    right = torch.randn(_PROBE[1], _PROBE[2], generator=generator)
    most = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _gain(left, right) if _error(left, right) < _MAX_ERROR else 0.0
    except (AttributeError, RuntimeError, TypeError):  # torch has changed
        return 0.0
    finally:
        torch.set_num_threads(most)


def _error(left: Tensor, right: Tensor) -> float:
    """Return oneDNN's largest error, relative to the largest result, with and without an addition."""
    exact = left.double() @ right.double()
    results = _multiply(left, right.t()), _multiply_add(left, right.t(), exact.float()) / 2
    return max(float((result - exact).abs().max() / exact.abs().max()) for result in results)


def _gain(left: Tensor, right: Tensor) -> float:
    """Return how many times as long the usual library takes."""
    out = torch.empty(len(left), right.shape[1])
    rounds = [
        (_seconds(lambda: torch.mm(left, right, out=out)), _seconds(lambda: _multiply(left, right.t())))
        for _ in range(_ROUNDS)
    ]
    return min(usual for usual, _ in rounds) / min(ours for _, ours in rounds)


def _multiply_add(left: Tensor, right_t: Tensor, addend: Tensor) -> Tensor:
    """Return left · right + addend, given the transpose of right."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(left, addend, right_t, None, "add")
    return result


def _multiply(left: Tensor, right_t: Tensor) -> Tensor:
    """Return left · right, given the transpose of right."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise.default(left, right_t, None, "none", [], "")
    return result


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
