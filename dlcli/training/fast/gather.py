"""Gathering of examples by index into reused memory on the model's device."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from dlcli.data.splits import Split
from dlcli.training.fast.layers import with_ones_column


class Gatherer:
    """Gathers examples into fixed memory on the model's device and scales their inputs.

    If the data set does not fit on a GPU, the host gathers examples, and they are copied while the GPU computes the
    previous steps; see `_Transfer`. Bytes are scaled here, while they are in the cache.

    Attributes:
        inputs: Scaled inputs with a last column of ones: (n, in_features + 1).

    Args:
        train: Training split, on the model's device or, for a CUDA device, on the CPU.
        device: Device of the model.
        n: Largest number of examples at once.
    """

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self.inputs = with_ones_column(n, train.stored.shape[1], dtype=train.dtype, device=device)
        self._scaling = train.scaling and train.scaling.to(device, train.dtype)
        is_on_device = train.device == device
        self._stored = empty_like(train.stored, n, device) if is_on_device and self._scaling else self.inputs[:, :-1]
        self._transfers = None if is_on_device else itertools.cycle(_build_transfers(train, device, n))
        self._has_all = False

    def __call__(self, index: Tensor | None, targets: Tensor) -> None:
        """Write examples to the first rows of `inputs` and to `targets`.

        Args:
            index: Positions of the examples, int64 on the device of `train`; None for all.
            targets: Memory for the targets, on the model's device; consecutive calls with None must pass the same.
        """
        if index is None and self._has_all:
            return
        inputs = self.inputs[: len(targets), :-1]
        if self._transfers is not None:
            transfer = next(self._transfers)
            stored, sent_targets = transfer.send(index, len(targets))
            targets.copy_(sent_targets)
            self._copy(stored, inputs)
            transfer.received()
        else:
            stored = self._stored[: len(targets)]
            _gather(self._train, index, stored, targets)
            if self._scaling is not None:
                self._copy(stored, inputs)
        self._has_all = index is None

    def _copy(self, stored: Tensor, inputs: Tensor) -> None:
        if self._scaling is None:
            inputs.copy_(stored)
        else:
            self._scaling.put(stored, inputs)


class _Transfer:
    """Pair of buffers, on the host and on a CUDA device, with the events that guard their reuse.

    The host waits until its buffer has been copied. The copy runs on a separate stream and waits until the previous
    content of the device buffer has been used; the stream of the steps waits for the copy.

    Args:
        train: Training split on the CPU.
        device: CUDA device.
        n: Largest number of examples at once.
        stream: Stream for copies.
    """

    def __init__(self, train: Split, device: torch.device, n: int, stream: torch.cuda.Stream) -> None:
        self._train, self._device, self._stream = train, device, stream
        parts = train.stored, train.targets
        self._pinned = [empty_like(part, n, train.device, pin_memory=True) for part in parts]
        self._on_device = [empty_like(part, n, device) for part in parts]
        self._copied, self._received = torch.cuda.Event(), torch.cuda.Event()
        self.received()  # earlier work that used this memory may still be running

    def send(self, index: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """Start the copy of n examples; return stored values and targets, ready for the current stream."""
        self._copied.synchronize()
        (stored, targets), (device_stored, device_targets) = (
            [buffer[:n] for buffer in part] for part in (self._pinned, self._on_device)
        )
        _gather(self._train, index, stored, targets)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._received)
            device_stored.copy_(stored, non_blocking=True)
            device_targets.copy_(targets, non_blocking=True)
            self._copied.record(self._stream)
        torch.cuda.current_stream(self._device).wait_event(self._copied)
        return device_stored, device_targets

    def received(self) -> None:
        """Record that all uses of the examples are queued on the current stream."""
        self._received.record(torch.cuda.current_stream(self._device))


def _build_transfers(train: Split, device: torch.device, n: int) -> list[_Transfer]:
    """Return two transfers to alternate between: one is filled while the other is used."""
    stream = torch.cuda.Stream(device)
    return [_Transfer(train, device, n, stream) for _ in range(2)]


def empty_like(values: Tensor, n: int, device: torch.device, *, pin_memory: bool = False) -> Tensor:
    """Return uninitialised memory for n rows of the shape and dtype of `values`."""
    return torch.empty((n, *values.shape[1:]), dtype=values.dtype, device=device, pin_memory=pin_memory)


def _gather(train: Split, index: Tensor | None, stored: Tensor, targets: Tensor) -> None:
    for values, out in ((train.stored, stored), (train.targets, targets)):
        if index is None:
            out.copy_(values)
        else:
            torch.index_select(values, 0, index, out=out)
