"""Order of the training examples, and batches.

Each epoch has a new random order. It is cut into batches, and batches are grouped into chunks: a chunk is the group of
batches between two reads of the running loss. The inputs of several batches are gathered from memory at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dlcli.data.splits import Split

BatchSize: TypeAlias = int | Literal["full"]

MOST_BATCHES = 64  # largest number of batches in a chunk
_CHUNK_EXAMPLES = 2**15
_CHUNK_OPERATIONS, _CHUNK_OPERATIONS_OF_GPU = 5 * 10**9, 10**11
_GATHERED_BYTES = {"cpu": 2**21, "cuda": 2**25}  # small enough for the caches; an H100's second-level cache holds 50 MB


def derive_seed(seed: int, purpose: str, epoch: int) -> int:
    """Return a separate seed for each purpose and epoch of a run.

    It is a hash, because torch's CPU generator keeps only the low 32 bits of a seed: sums and shifts would collide.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def draw_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return a permutation of 0..n − 1, int64 on the CPU, that depends only on `seed` and `epoch`."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(n, generator=generator)


def examples_per_batch(n: int, batch_size: BatchSize) -> int:
    """Return the number of examples in a batch; the last batch may be shorter."""
    return n if batch_size == "full" else batch_size


def count_batches(n: int, batch_size: BatchSize) -> int:
    """Return the number of batches in an epoch, including a shorter last batch."""
    return -(-n // examples_per_batch(n, batch_size))


def batches_per_chunk(train: Split, batch_size: BatchSize, parameters: int, device: torch.device) -> int:
    """Return the number of batches in a chunk; their steps should take at most a few hundredths of a second."""
    n = examples_per_batch(len(train), batch_size)
    operations = 6 * n * parameters  # forward, backward and gradient, each with a multiplication and an addition
    most = _CHUNK_OPERATIONS_OF_GPU if device.type == "cuda" else _CHUNK_OPERATIONS
    return max(1, min(MOST_BATCHES, _CHUNK_EXAMPLES // n, most // operations))


def batches_per_gather(train: Split, batch_size: BatchSize, device: torch.device) -> int:
    """Return the number of batches to gather at once: their inputs should stay in the device's caches until used."""
    input_bytes = examples_per_batch(len(train), batch_size) * train.storage.shape[1] * train.dtype.itemsize
    return max(1, _GATHERED_BYTES[device.type] // input_bytes)


def draw_chunks(
    train: Split, batch_size: BatchSize, batches: int, seed: int, epoch: int, done: int = 0
) -> Iterator[Tensor | None]:
    """Yield the indices of an epoch in chunks, on the split's device; the last chunk may be shorter.

    `full` yields None, which means the whole split in its stored order: order does not affect a sum over all examples.

    Args:
        train: Training split.
        batch_size: Number of examples in a batch.
        batches: Number of batches in a chunk.
        seed: Seed of the run.
        epoch: Epoch, counted from 1.
        done: Number of examples at the start of the order to skip, because earlier chunks contained them.
    """
    if done == len(train):
        return
    if batch_size == "full":
        yield None
    else:
        order = draw_order(len(train), seed, epoch)[done:].to(train.device)
        yield from order.split(batch_size * batches)
