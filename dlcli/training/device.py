"""Where the tensors live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DeviceError


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA, then MPS, then the CPU.

    Raises:
        DeviceError: If this machine, or this build of torch, has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "torch sees no CUDA device here" if torch.backends.cuda.is_built() else "this torch is built without CUDA"
        raise DeviceError(f"cannot use device {name}: {why}", hint="--device auto takes what there is")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"cannot use device {name}: there are {count}", hint="--device cuda:0 is the first")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("cannot use device mps: torch sees none here", hint="--device auto takes what there is")
    return device


def set_precision(precision: Literal["float32", "float64", "tf32", "bf16"], device: torch.device) -> torch.dtype:
    """Set up `device` for repeatable numbers in `precision`, and return the type of parameters and inputs.

    Reduced precision is on when asked for and off otherwise, whatever torch's defaults are.

    Raises:
        DeviceError: If the device has no such precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeviceError(f"precision tf32 needs a CUDA device, not {device}", hint="training.precision=float32")
    if precision == "float64" and device.type == "mps":
        raise DeviceError("MPS has no float64", hint="--device cpu")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if device.type == "cuda":
        # cuBLAS repeats its results bit for bit only with a fixed workspace, set before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.float64 if precision == "float64" else torch.float32


def place_splits(splits: Splits, device: torch.device, dtype: torch.dtype) -> Splits:
    """Return the splits on `device`, or on the CPU if they would take more than half of a GPU's free memory."""
    tensors = [one for split in (splits.train, splits.val, splits.test) for one in (split.inputs, split.targets)]
    needed = sum(one.numel() * max(one.element_size(), dtype.itemsize) for one in tensors)
    is_large = device.type == "cuda" and needed > torch.cuda.mem_get_info(device)[0] / 2
    return splits.to(torch.device("cpu") if is_large else device, dtype)


def describe_device(device: torch.device) -> str:
    """Return the device as a person would call it: `cpu, 2 threads`, `cuda:0, NVIDIA H100`."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    return str(device)


@contextmanager
def memory_errors_named(config: Config) -> Iterator[None]:
    """Turn a device's or the machine's lack of memory into an error that says what to change.

    Raises:
        DeviceError: Instead of torch's RuntimeError or Python's MemoryError.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "not enough memory" not in text and "can't allocate memory" not in text:
            raise
        sizes = f"hidden_sizes {list(config.model.hidden_sizes)}, batch_size {config.training.batch_size}"
        reason = text.splitlines()[0] if text else "the machine has no more"
        hint = "smaller model.hidden_sizes or training.batch_size need less"
        raise DeviceError(f"out of memory with {sizes}: {reason}", hint=hint) from error
