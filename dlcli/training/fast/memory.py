"""Memory of several models, laid out so that each is vectorised as if it were alone, and their matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Product: TypeAlias = tuple[Tensor, Tensor, Tensor]  # left factor, right factor, output

LINE = 16  # float32 values in a cache line


def in_lines(values: int) -> int:
    """Round a number of values up to whole cache lines."""
    return -(-values // LINE) * LINE


def stack_like(memory: Tensor, count: int) -> Tensor:
    """Return memory for several models, (count, *shape), filled with `memory`.

    The memory of each model has the strides of `memory`, starts on a boundary of 64 bytes and is followed by a gap.
    """
    spacing = in_lines(_extent(memory)) + LINE
    stack = memory.new_zeros(count * spacing).as_strided((count, *memory.shape), (spacing, *memory.stride()))
    return stack.copy_(memory)


def stack_parts(parts: Sequence[Tensor]) -> Tensor:
    """Return a copy of tensors with equal shapes and strides, in memory allocated by `stack_like`."""
    stack = stack_like(parts[0], len(parts))
    for part, memory in zip(parts, stack, strict=True):
        memory.copy_(part)
    return stack


def multiply(products: Sequence[Product]) -> None:
    """Compute matrix products, each with the same call as for a model alone."""
    product = torch.mm
    for left, right, out in products:
        product(left, right, out=out)


def _extent(memory: Tensor) -> int:
    """Return the number of values from the first to the last one in memory."""
    return 1 + sum((size - 1) * stride for size, stride in zip(memory.shape, memory.stride(), strict=True))
