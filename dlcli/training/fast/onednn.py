"""Large matrix products by oneDNN, on processors where it is faster than torch's usual library.

On AMD processors with AVX-512, torch's usual library, MKL, runs large float32 products more slowly than oneDNN: on
Zen 5 at half of its speed, on Zen 4 at nine tenths. torch multiplies by oneDNN where it is allowed to round float32 to
bfloat16 (`torch.backends.mkldnn.matmul.fp32_precision`), but oneDNN rounds only on processors with matrix units for
bfloat16. A fixed product shows whether it does; if so, the usual library is used.

The choice is a function of the processor and of the sizes: a measurement of speed would let other load decide bits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.training.fast.layers import Layer
from dlcli.training.threads import thread_count

Library: TypeAlias = Literal["torch", "onednn"]

# Multiplications in a product from which oneDNN is faster, by the family of AMD's processors. A call of it costs more
# than one of MKL; on Zen 5 its products take half the time, on Zen 4 nine tenths.
_ZEN_4, _ZEN_5 = 25, 26
_FASTER_FROM = {_ZEN_4: 2**25, _ZEN_5: 2**22}
_MAX_ERROR = 1e-5  # relative; float32 sums of this length err by 1e-7 to 1e-6, bfloat16's by 1e-2
_PROBE = (64, 512, 256)


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


def choose_library(operations: int) -> Library:
    """Return the library that is faster here for a float32 product of `operations` multiplications."""
    return "onednn" if operations >= _faster_from() else "torch"


def build_layer(linear: nn.Linear, by_units: bool, *, n: int, library: Library) -> Layer:
    """Return a layer for batches of `n` examples.

    With `library` onednn, oneDNN multiplies where `choose_library` would choose it for this layer alone.
    """
    weight = linear.weight
    is_candidate = library == "onednn" and weight.device.type == "cpu" and weight.dtype == torch.float32
    if is_candidate and choose_library(n * weight.numel()) == "onednn":
        return OneDnnLayer(linear)
    return Layer(linear, by_units)


@cache
def _faster_from() -> float:
    """Return from how many multiplications oneDNN is faster; infinity where it never is, is missing or rounds."""
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    family = _amd_family() if has_avx512 and torch.backends.mkldnn.is_available() else None
    if family is None or family < _ZEN_4 or not _is_accurate():
        return float("inf")
    return _FASTER_FROM[min(family, _ZEN_5)]


def _amd_family() -> int | None:
    """Return the family of an AMD processor, as the system names it; None for other makers."""
    text = os.environ.get("PROCESSOR_IDENTIFIER", "")  # Windows
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    family = re.search(r"family\s*:?\s*(\d+)", text, re.IGNORECASE)
    return int(family.group(1)) if family and "AuthenticAMD" in text else None


def _is_accurate() -> bool:
    """Return whether oneDNN keeps float32's precision: a fixed product on one thread, the same in every run."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(_PROBE[0], _PROBE[1], generator=generator)
    right = torch.randn(_PROBE[1], _PROBE[2], generator=generator)
    try:
        with thread_count(1):
            return _error(left, right) < _MAX_ERROR
    except (AttributeError, RuntimeError, TypeError):  # torch has changed
        return False


def _error(left: Tensor, right: Tensor) -> float:
    """Return oneDNN's largest error, relative to the largest result, with and without an addition."""
    exact = left.double() @ right.double()
    with _onednn():
        results = left @ right, torch.addmm(exact.float(), left, right) / 2
    return max(float((result - exact).abs().max() / exact.abs().max()) for result in results)
