"""Large products by oneDNN, on processors where it is much faster than torch's usual library.

On AMD processors with full-width AVX-512, torch's usual library, MKL, runs float32 products at half of oneDNN's
speed; on their predecessors and on Intel's both are equal. torch has no public way to choose oneDNN without allowing
it to round float32 (`torch.set_float32_matmul_precision`), but the operation that torch.compile uses does. It is
private: where it is missing, wrong or not faster, the usual library is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlcli.training.backprop import Layer

MIN_OPERATIONS = 2**22  # multiplications in a product; smaller ones suffer from what a call of oneDNN costs
_MIN_GAIN = 1.3  # clear of noise, so that the choice, which decides the last bits, is the same in every run
_MAX_ERROR = 1e-5  # relative; float32 sums of this length err by 1e-7 to 1e-6, bfloat16's by 1e-2
_ROUNDS = 15


class OneDnnLayer(Layer):
    """A layer whose products are oneDNN's."""

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`."""
        out.copy_(_multiply(h, self.weight_t, self.bias))

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        out.copy_(_multiply(delta, self.weight))

    def learn(self, h_t: Tensor, delta: Tensor, delta_t: Tensor, ones: Tensor, lr: float, keep: float) -> None:
        """Take the gradient, times lr, off `keep` times the parameters; or put it into `gradients`."""
        if self.gradients is None:
            kept = self.weight if keep == 1 else self.weight * keep
            self.weight = torch.ops.mkldnn._linear_pointwise.binary(h_t, kept, delta_t * -lr, None, "add")
            self.weight_t = self.weight.t()
            self.bias.addmv_(delta_t, ones, beta=keep, alpha=-lr)
        else:
            weight_gradient, bias_gradient = self.gradients
            weight_gradient.copy_(_multiply(h_t, delta_t))
            torch.mv(delta_t, ones, out=bias_gradient)


def build_layer(linear: nn.Linear, n: int) -> Layer:
    """Return a layer for batches of `n` examples, by the library that is faster for its products here."""
    is_large = n * linear.weight.numel() >= MIN_OPERATIONS
    return OneDnnLayer(linear) if is_large and is_faster(linear.weight.detach(), n) else Layer(linear)


@torch.inference_mode()
def is_faster(weight: Tensor, n: int) -> bool:
    """Return whether oneDNN is here, accurate to float32, and much faster on one thread for a batch of `n`."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(n, weight.shape[1], generator=generator)
    expected = h.double() @ weight.t().double()
    try:
        error = (_multiply(h, weight) - expected).abs().max() / expected.abs().max()
        torch.ops.mkldnn._linear_pointwise.binary(h, expected.float(), weight, None, "add")
    except (AttributeError, RuntimeError, TypeError):  # torch has changed
        return False
    return bool(error < _MAX_ERROR) and _gain(h, weight) >= _MIN_GAIN


def _gain(h: Tensor, weight: Tensor) -> float:
    """Return how many times as long the usual library takes; on one thread, which other load disturbs least."""
    weight = weight.t().contiguous()
    out = torch.empty(len(h), weight.shape[1])
    most = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        usual, onednn = (
            min(_seconds(product) for _ in range(_ROUNDS))
            for product in (lambda: torch.mm(h, weight, out=out), lambda: _multiply(h, weight.t()))
        )
    finally:
        torch.set_num_threads(most)
    return usual / onednn


def _multiply(left: Tensor, right_t: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return left · right + bias, given the transpose of right."""
    return torch.ops.mkldnn._linear_pointwise.default(left, right_t, bias, "none", [], "")


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
