"""Examples by index, on the model's device, in memory that is used again and again."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from dlcli.data.splits import Split
from dlcli.training.fast.layers import ones_beside


class Gatherer:
    """Brings examples to the model's device, their inputs always into the same memory.

    Where they live there, they are gathered there. Where they don't, because they would not fit, the host gathers them
    and the device copies them while it is still at work on those before: see `_Transfer`.
    Bytes are scaled here, while they are in the cache.

    Attributes:
        inputs: Memory for inputs, scaled, with a last column of ones: (n, in_features + 1).

    Args:
        train: All examples, on the model's device or, for a CUDA device, on the CPU.
        device: The model's.
        n: Most examples at once.
    """

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self.inputs = ones_beside(n, train.stored.shape[1], dtype=train.dtype, device=device)
        self._scaling = train.scaling and train.scaling.to(device, train.dtype)
        is_here = train.device == device
        self._stored = empty_like(train.stored, n, device) if is_here and self._scaling else self.inputs[:, :-1]
        self._transfers = None if is_here else itertools.cycle(_build_transfers(train, device, n))
        self._has_all = False

    def __call__(self, index: Tensor | None, targets: Tensor) -> None:
        """Put examples into the first rows of `inputs` and into `targets`.

        Args:
            index: Which, int64 on the device of `train`; None for all.
            targets: Memory for as many on the model's device. After a None, the next one expects what the first left.
        """
        if index is None and self._has_all:
            return
        inputs = self.inputs[: len(targets), :-1]
        if self._transfers is not None:
            transfer = next(self._transfers)
            stored, own_targets = transfer.send(index, len(targets))
            targets.copy_(own_targets)
            self._put(stored, inputs)
            transfer.received()
        else:
            stored = self._stored[: len(targets)]
            _gather(self._train, index, stored, targets)
            if self._scaling is not None:
                self._put(stored, inputs)
        self._has_all = index is None

    def _put(self, stored: Tensor, inputs: Tensor) -> None:
        if self._scaling is None:
            inputs.copy_(stored)
        else:
            self._scaling.put(stored, inputs)


class _Transfer:
    """A buffer on the host, one on a CUDA device, and what has to be waited for before they are filled again.

    The host waits until its buffer is copied. The copy, on a stream beside the steps', waits until what the device's
    buffer held before is taken out; the steps' stream waits until the copy is there.

    Args:
        train: On the CPU.
        device: Where to.
        n: Most examples at once.
        stream: For copies.
    """

    def __init__(self, train: Split, device: torch.device, n: int, stream: torch.cuda.Stream) -> None:
        self._train, self._device, self._stream = train, device, stream
        parts = train.stored, train.targets
        self._locked = [empty_like(one, n, train.device, pin_memory=True) for one in parts]
        self._there = [empty_like(one, n, device) for one in parts]
        self._copied, self._received = torch.cuda.Event(), torch.cuda.Event()
        self.received()  # what used the device's memory before may not have come to its end

    def send(self, index: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """Return n examples on the device, stored values and targets, that the current stream will find there."""
        self._copied.synchronize()
        (stored, targets), (stored_there, targets_there) = (
            [one[:n] for one in part] for part in (self._locked, self._there)
        )
        _gather(self._train, index, stored, targets)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._received)
            stored_there.copy_(stored, non_blocking=True)
            targets_there.copy_(targets, non_blocking=True)
            self._copied.record(self._stream)
        torch.cuda.current_stream(self._device).wait_event(self._copied)
        return stored_there, targets_there

    def received(self) -> None:
        """Note that all the current stream has to do with the examples has been said."""
        self._received.record(torch.cuda.current_stream(self._device))


def _build_transfers(train: Split, device: torch.device, n: int) -> list[_Transfer]:
    """Return two, to be used in turns: one is filled while the other is emptied."""
    stream = torch.cuda.Stream(device)
    return [_Transfer(train, device, n, stream) for _ in range(2)]


def empty_like(values: Tensor, n: int, device: torch.device, *, pin_memory: bool = False) -> Tensor:
    """Return memory for n rows like those of `values`."""
    return torch.empty((n, *values.shape[1:]), dtype=values.dtype, device=device, pin_memory=pin_memory)


def _gather(train: Split, index: Tensor | None, stored: Tensor, targets: Tensor) -> None:
    for all_of_them, out in ((train.stored, stored), (train.targets, targets)):
        if index is None:
            out.copy_(all_of_them)
        else:
            torch.index_select(all_of_them, 0, index, out=out)
