"""Large products by oneDNN, on processors where it is faster than torch's usual library.

On AMD processors with AVX-512, torch's usual library, MKL, runs large float32 products more slowly than oneDNN: on
Zen 5 at half of its speed, on Zen 4 at nine tenths. torch multiplies by oneDNN where it is allowed to round float32 to
bfloat16 (`torch.backends.mkldnn.matmul.fp32_precision`), but oneDNN does so only on processors with matrix units for
it. A probe makes sure that it doesn't; otherwise the usual library is used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from dlcli.training.arithmetic import Library
from dlcli.training.layers import Layer

# Multiplications in a layer's product below which oneDNN is not faster: what a call of it costs is won back sooner
# where its products take half the time.
_MIN_OPERATIONS, _MIN_OPERATIONS_IF_MUCH_FASTER = 2**25, 2**22
_MUCH_FASTER = 1.3  # clear of noise, so that the choice, which decides the last bits, is the same in every run
_MAX_ERROR = 1e-5  # relative; float32 sums of this length err by 1e-7 to 1e-6, bfloat16's by 1e-2
_PROBE, _ROUNDS = (64, 512, 256), 15


class OneDnnLayer(Layer):
    """A layer whose products are oneDNN's. They are fastest where memory lies by units, whatever the batch."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear, by_units=True)

    def forward(self, h: Tensor, out: Tensor) -> None:
        """Put z into `out`; h has a last column of ones."""
        with _onednn():
            super().forward(h, out)

    def pull_back(self, delta: Tensor, out: Tensor) -> None:
        """Put ∂loss/∂h into `out`."""
        with _onednn():
            super().pull_back(delta, out)

    def learn(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """See `Layer.learn`."""
        with _onednn():
            super().learn(h_t, delta, rate, keep)


@contextmanager
def _onednn() -> Iterator[None]:
    """Have torch multiply by oneDNN."""
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch puts it there as it loads
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def build_layer(linear: nn.Linear, by_units: bool, *, n: int, library: Library | None = None) -> Layer:
    """Return a layer for batches of `n` examples, by the library that is faster for its products here, or by `library`.

    oneDNN is not taken where it is missing or rounds, whoever asks for it.
    """
    weight = linear.weight
    operations = n * weight.numel()
    is_candidate = weight.device.type == "cpu" and weight.dtype == torch.float32
    if library == "torch" or not is_candidate or operations < _MIN_OPERATIONS_IF_MUCH_FASTER:
        return Layer(linear, by_units)
    gain = measure_gain()
    if gain >= _MUCH_FASTER:
        return OneDnnLayer(linear)
    is_faster = gain > 0 and (is_amd() or library == "onednn")
    return OneDnnLayer(linear) if is_faster and operations >= _MIN_OPERATIONS else Layer(linear, by_units)


@cache
def is_amd() -> bool:
    """Return whether the processor is one of AMD's that have AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "AuthenticAMD" in file.read(1000)
    except OSError:
        return "AuthenticAMD" in os.environ.get("PROCESSOR_IDENTIFIER", "")  # Windows


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
    with _onednn():
        results = left @ right, torch.addmm(exact.float(), left, right) / 2
    return max(float((result - exact).abs().max() / exact.abs().max()) for result in results)


def _gain(left: Tensor, right: Tensor) -> float:
    """Return how many times as long the usual library takes."""
    out = torch.empty(len(left), right.shape[1])

    def multiply() -> None:
        torch.mm(left, right, out=out)

    def multiply_by_onednn() -> None:
        with _onednn():
            multiply()

    rounds = [(_seconds(multiply), _seconds(multiply_by_onednn)) for _ in range(_ROUNDS)]
    return min(usual for usual, _ in rounds) / min(ours for _, ours in rounds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
