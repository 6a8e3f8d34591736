"""Isolation of torch settings and random generators from the calling program."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils import deterministic

from dlcli.training.generators import generator_states, restore_generators
from dlcli.training.threads import machine_cores, thread_count

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def isolated(*, threads: int | None = None, device: torch.device | None = None, tf32: bool = False) -> Iterator[None]:
    """Run the block under fixed torch settings, and restore the caller's settings afterwards.

    The settings are those that affect results: threads, default dtype and device, grad mode, inference mode, autocast,
    precision of matrix products, flushing of denormal numbers and, on CUDA, deterministic algorithms and the current
    device.

    Args:
        threads: Number of CPU threads; None uses the number of cores.
        device: Device to compute on; None means the CPU.
        tf32: Whether CUDA may round the factors of float32 products to TF32.
    """
    with ExitStack() as stack:
        stack.enter_context(thread_count(threads or machine_cores()))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # this mode slows every call, so it is set only if needed
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_default_dtype(torch.float32))
        stack.enter_context(_product_precision("tf32" if tf32 else "ieee"))
        if _flushes_denormals():
            torch.set_flush_denormal(False)
            stack.callback(torch.set_flush_denormal, True)
        if device is not None and device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))  # graphs and events are created on the current device
            stack.enter_context(_deterministic_cuda())
        yield


class RunSettings:
    """Torch settings and random generators of one run, active only while the run computes.

    Args:
        threads: Number of CPU threads.
        device: Device to compute on.
        tf32: See `isolated`.

    Attributes:
        generators: States of the run's generators at the end of its last computation.
    """

    def __init__(self, threads: int, device: torch.device, *, tf32: bool) -> None:
        self._threads, self._device, self._tf32 = threads, device, tf32
        self.generators: Mapping[str, Tensor] = {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block with the settings and generators of the run."""
        with isolated(threads=self._threads, device=self._device, tf32=self._tf32):
            callers = generator_states(self._device)
            restore_generators(self.generators, self._device)
            try:
                yield
            finally:
                self.generators = generator_states(self._device)
                restore_generators(callers, self._device)


def isolated_function(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a function to run under dlcli's torch settings and restore the caller's settings and random generators."""

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        with generators_restored(), isolated():
            return function(*arguments, **options)

    return call


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the random generators of torch, NumPy and Python after the block."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy: Any = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _product_precision(precision: str) -> Iterator[None]:
    """Set the precision of float32 products.

    torch.set_float32_matmul_precision is not used: its getter raises an error if the caller has used these settings.
    """
    settings: list[tuple[Any, str]] = [
        (torch.backends.mkldnn.matmul, "ieee"),  # type: ignore[attr-defined]  # torch adds it at import time
        (torch.backends.cuda.matmul, precision),
    ]
    before = [backend.fp32_precision for backend, _ in settings]
    for backend, value in settings:
        backend.fp32_precision = value
    try:
        yield
    finally:
        for (backend, _), value in zip(settings, before, strict=True):
            backend.fp32_precision = value


def _flushes_denormals() -> bool:
    """Return whether denormal numbers are flushed to 0 in this thread; torch has no getter."""
    return sys.float_info.min / 2 == 0.0


@contextmanager
def _deterministic_cuda() -> Iterator[None]:
    """Select deterministic CUDA algorithms; cuBLAS needs a fixed workspace, set before its first use."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filling: Any = deterministic
    fill, workspace = filling.fill_uninitialized_memory, os.environ.get(_CUBLAS)
    os.environ.setdefault(_CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    filling.fill_uninitialized_memory = False  # filling would launch a kernel for each new tensor
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        filling.fill_uninitialized_memory = fill
        if workspace is None:
            os.environ.pop(_CUBLAS, None)
