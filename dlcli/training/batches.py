"""Whole tensors in, batches out, in an order drawn anew each epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from dlcli.data.splits import Split


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


def count_batches(n: int, batch_size: int | Literal["full"]) -> int:
    """Return how many batches an epoch has; a last short one counts."""
    return 1 if batch_size == "full" else -(-n // batch_size)


def draw_batches(split: Split, batch_size: int | Literal["full"], seed: int, epoch: int) -> Iterator[Split]:
    """Yield each example once, in batches on the split's device; the last may be short.

    `full` yields the split as it is: order means nothing to a sum over all examples.
    """
    if batch_size == "full":
        yield split
        return
    order = draw_order(len(split), seed, epoch).to(split.inputs.device)
    for index in order.split(batch_size):
        yield Split(split.inputs.index_select(0, index), split.targets.index_select(0, index))
