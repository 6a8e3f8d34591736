"""Large matrix products with oneDNN, on processors where it is faster than torch's default library.

On AMD processors with AVX-512, torch's default library, MKL, is slower than oneDNN for large float32 products: half as
fast on Zen 5, nine tenths as fast on Zen 4. torch calls oneDNN if rounding of float32 to bfloat16 is allowed
(`torch.backends.mkldnn.matmul.fp32_precision`), but oneDNN rounds only on processors with matrix units for bfloat16. A
fixed product detects such rounding; if it occurs, the default library is used.

The choice depends only on the processor and the sizes. If it depended on a measurement of speed, other load on the
machine would affect the last bits.
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

from dlcli.training.fast.layers import FEW, Layer
from dlcli.training.threads import thread_count

Library: TypeAlias = Literal["torch", "onednn"]

# Number of multiplications in a product from which oneDNN is faster, by AMD processor family. oneDNN's calls have more
# overhead than MKL's; its products take half the time on Zen 5 and nine tenths on Zen 4.
_ZEN_4, _ZEN_5 = 25, 26
_FASTER_FROM = {_ZEN_4: 2**25, _ZEN_5: 2**22}
_MAX_ERROR = 1e-5  # relative error; rounding errors are 1e-7 to 1e-6 in float32, 1e-2 in bfloat16
_PROBE = (64, 512, 256)


class OneDnnLayer(Layer):
    """Layer with oneDNN products, which are fastest for unit-major memory."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear, unit_major=True)

    def forward(self, h: Tensor, out: Tensor) -> None:
        """See `Layer.forward`."""
        with _onednn():
            super().forward(h, out)

    def backward_input(self, delta: Tensor, out: Tensor) -> None:
        """See `Layer.backward_input`."""
        with _onednn():
            super().backward_input(delta, out)

    def update(self, h_t: Tensor, delta: Tensor, rate: float, keep: float) -> None:
        """See `Layer.update`."""
        with _onednn():
            super().update(h_t, delta, rate, keep)


@contextmanager
def _onednn() -> Iterator[None]:
    """Let torch use oneDNN in the block."""
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # torch adds it at import time
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def choose_library(operations: int) -> Library:
    """Return the faster library for a float32 product of `operations` multiplications on this processor."""
    return "onednn" if operations >= _faster_from() else "torch"


def build_layer(linear: nn.Linear, unit_major: bool, *, n: int, library: Library) -> Layer:
    """Return a layer for batches of `n` examples.

    If `library` is onednn, the layer uses oneDNN if `choose_library` selects it for the layer's size. A layer of few
    units that `choose_layout` does not store unit-major keeps its layout: only the last layer can have padding units.
    """
    weight = linear.weight
    may_be_unit_major = unit_major or linear.out_features not in FEW
    is_candidate = (
        may_be_unit_major and library == "onednn" and weight.device.type == "cpu" and weight.dtype == torch.float32
    )
    if is_candidate and choose_library(n * weight.numel()) == "onednn":
        return OneDnnLayer(linear)
    return Layer(linear, unit_major)


@cache
def _faster_from() -> float:
    """Return the number of multiplications from which to use oneDNN: infinity if oneDNN is slow, missing or rounds."""
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    family = _amd_family() if has_avx512 and torch.backends.mkldnn.is_available() else None
    if family is None or family < _ZEN_4 or not _is_accurate():
        return float("inf")
    return _FASTER_FROM[min(family, _ZEN_5)]


def _amd_family() -> int | None:
    """Return the family of an AMD processor as reported by the system; None for other vendors."""
    text = os.environ.get("PROCESSOR_IDENTIFIER", "")  # set on Windows
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    family = re.search(r"family\s*:?\s*(\d+)", text, re.IGNORECASE)
    return int(family.group(1)) if family and "AuthenticAMD" in text else None


def _is_accurate() -> bool:
    """Return whether oneDNN computes with float32 precision, tested on a fixed matrix product with one thread."""
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(_PROBE[0], _PROBE[1], generator=generator)
    right = torch.randn(_PROBE[1], _PROBE[2], generator=generator)
    try:
        with thread_count(1):
            return _error(left, right) < _MAX_ERROR
    except (AttributeError, RuntimeError, TypeError):  # another version of torch may not have these settings
        return False


def _error(left: Tensor, right: Tensor) -> float:
    """Return oneDNN's largest error relative to the largest result, for products with and without addition."""
    exact = left.double() @ right.double()
    with _onednn():
        results = left @ right, torch.addmm(exact.float(), left, right) / 2
    return max(float((result - exact).abs().max() / exact.abs().max()) for result in results)
