"""Devices: selection, memory checks, placement of data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch

from dlcli.config.schema import AnyOptimizer, Config, RmspropOptimizer, SgdOptimizer
from dlcli.data.splits import Splits
from dlcli.errors import DeviceError
from dlcli.training.batches import examples_per_batch


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device `name`; `auto` selects CUDA, else MPS, else the CPU.

    Args:
        name: Value of `training.device`.
        local_rank: Number of this process on its machine. It selects the CUDA device unless `name` has a number.

    Raises:
        DeviceError: If this machine, or this build of torch, has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(f"cuda:{local_rank}" if name == "cuda" else name)  # numbered, as `Tensor.device` is
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "torch finds no CUDA device" if torch.backends.cuda.is_built() else "this torch is built without CUDA"
        raise DeviceError(f"cannot use device {name}: {why}", hint="use `--device auto` for the best device available")
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(
            f"cannot use device {name}: this machine has {count}", hint="use `--device cuda:0` for the first"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            "cannot use device mps: torch finds none", hint="use `--device auto` for the best device available"
        )
    return device


def dtype_for(precision: Literal["float32", "float64", "tf32", "bf16"], device: torch.device) -> torch.dtype:
    """Return the dtype of parameters and inputs; `tf32` and `bf16` are float32 with rounded matrix products.

    Raises:
        DeviceError: If the device does not support the precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise DeviceError(f"precision tf32 needs a CUDA device, not {device}", hint="use `training.precision=float32`")
    if precision == "float64" and device.type == "mps":
        raise DeviceError("MPS does not support float64", hint="use `--device cpu`")
    return torch.float64 if precision == "float64" else torch.float32


def place_splits(splits: Splits, device: torch.device, dtype: torch.dtype) -> Splits:
    """Return the splits on `device`, or on the CPU if they need more than half of a GPU's free memory."""
    needed = sum(split.nbytes(dtype) for split in (splits.train, splits.val, splits.test))
    is_large = device.type == "cuda" and needed > torch.cuda.mem_get_info(device)[0] / 2
    return splits.to(torch.device("cpu") if is_large else device, dtype)


def describe_device(device: torch.device, threads: int) -> str:
    """Return a readable name of the device: `cpu, 2 threads`, `cuda:0, NVIDIA H100`."""
    if device.type == "cuda":
        return f"{device}, {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu, {threads} thread{'s' if threads > 1 else ''}"
    return str(device)


def check_memory(config: Config, splits: Splits, device: torch.device, dtype: torch.dtype) -> None:
    """Reject a model that cannot fit into memory, because Linux may kill a process that uses too much.

    The estimate is a lower bound: all copies of the parameters, and the activations of a batch.

    Raises:
        DeviceError: If the estimate exceeds the total memory of the device or the machine.
    """
    info, optimizer = splits.info, config.optimizer
    sizes = (info.in_features, *config.model.hidden_sizes, info.out_features)
    parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    batch_size = min(len(splits.train), examples_per_batch(len(splits.train), config.training.batch_size))
    needed = (parameters * (2 + _count_states(optimizer)) + batch_size * 2 * sum(sizes[1:])) * dtype.itemsize
    available = memory_bytes(device)
    if available is not None and needed > available:
        raise _too_large(config, f"{parameters:,} parameters need {_giga(needed)}, {device} has {_giga(available)}")


def _count_states(optimizer: AnyOptimizer) -> int:
    """Return the number of tensors that the optimizer keeps for each parameter."""
    if isinstance(optimizer, SgdOptimizer | RmspropOptimizer):
        return bool(optimizer.momentum) + isinstance(optimizer, RmspropOptimizer)
    return 2


def memory_bytes(device: torch.device) -> int | None:
    """Return the total memory of a GPU, or of the machine or its container for other devices; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    limits = []
    with suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # limit of the container; `max` means no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=None)


def _giga(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def _too_large(config: Config, reason: str) -> DeviceError:
    sizes = f"hidden_sizes {list(config.model.hidden_sizes)}, batch_size {config.training.batch_size}"
    hint = "reduce model.hidden_sizes or training.batch_size"
    return DeviceError(f"out of memory with {sizes}: {reason}", hint=hint)


@contextmanager
def convert_memory_errors(config: Config) -> Iterator[None]:
    """Convert out-of-memory errors into a DeviceError with a hint.

    Raises:
        DeviceError: Instead of a RuntimeError of torch or a MemoryError.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "not enough memory" not in text and "can't allocate memory" not in text:
            raise
        reason = text.splitlines()[0] if text else "no memory left"
        raise _too_large(config, reason) from error
