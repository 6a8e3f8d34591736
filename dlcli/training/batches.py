"""Which examples come when: an order drawn anew each epoch, cut into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dlcli.data.splits import Split

BatchSize: TypeAlias = int | Literal["full"]

MOST_BATCHES = 64  # in a span
_SPAN_EXAMPLES = 2**15
_SPAN_OPERATIONS, _SPAN_OPERATIONS_OF_GPU = 5 * 10**9, 10**11
_GATHERED_BYTES = {"cpu": 2**21, "cuda": 2**25}  # an H100's second-level cache holds 50 MB


def derive_seed(seed: int, purpose: str, epoch: int) -> int:
    """Return a seed of its own for each purpose and epoch of a run.

    Hashed, because torch's CPU generator keeps the low 32 bits of a seed: sums and shifts would collide.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def draw_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0..n − 1, int64 on the CPU, that depends on `seed` and `epoch` alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(n, generator=generator)


def examples_per_batch(n: int, batch_size: BatchSize) -> int:
    """Return how many of n examples a batch has, unless it is a short last one."""
    return n if batch_size == "full" else batch_size


def count_batches(n: int, batch_size: BatchSize) -> int:
    """Return how many batches an epoch has; a last short one counts."""
    return -(-n // examples_per_batch(n, batch_size))


def batches_per_span(train: Split, batch_size: BatchSize, parameters: int, device: torch.device) -> int:
    """Return how many batches to train on between two looks at the running loss, each of which costs a little.

    Their steps should take a few hundredths of a second at most.
    """
    n = examples_per_batch(len(train), batch_size)
    operations = 6 * n * parameters  # forward, backward and gradient, a multiplication and an addition each
    most = _SPAN_OPERATIONS_OF_GPU if device.type == "cuda" else _SPAN_OPERATIONS
    return max(1, min(MOST_BATCHES, _SPAN_EXAMPLES // n, most // operations))


def batches_per_gathering(train: Split, batch_size: BatchSize, device: torch.device) -> int:
    """Return how many batches to gather at once: their inputs should stay in the device's caches until used."""
    input_bytes = examples_per_batch(len(train), batch_size) * train.stored.shape[1] * train.dtype.itemsize
    return max(1, _GATHERED_BYTES[device.type] // input_bytes)


def draw_spans(
    train: Split, batch_size: BatchSize, batches: int, seed: int, epoch: int, done: int = 0
) -> Iterator[Tensor | None]:
    """Yield each example's index once, on the split's device, in spans of so many batches; the last may be shorter.

    `full` yields None, the split as it is: order means nothing to a sum over all examples.

    Args:
        train: What is learned from.
        batch_size: Examples in a batch.
        batches: In a span.
        seed: The run's.
        epoch: Counted from 1.
        done: Examples at the start of the epoch's order to leave out: those of earlier spans.
    """
    if done == len(train):
        return
    if batch_size == "full":
        yield None
    else:
        order = draw_order(len(train), seed, epoch)[done:].to(train.device)
        yield from order.split(batch_size * batches)
