"""Gathering of examples by index into reused memory on the model's device."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from dlcli.data.scaling import Scaling
from dlcli.data.shared_split import SharedSplit
from dlcli.data.splits import Split
from dlcli.training.fast.layers import with_ones_column


class Gatherer:
    """Gatherer that copies examples into fixed memory on the model's device and scales their inputs.

    If the data set does not fit on a GPU, the host gathers examples, and they are copied while the GPU computes the
    previous steps; see `_Transfer`. Inputs stored as bytes are scaled here, while they are in the cache.

    Attributes:
        inputs: Scaled inputs with a last column of ones: (n, in_features + 1).

    Args:
        train: Training split, on the model's device or, for a CUDA device, on the CPU.
        device: Device of the model.
        n: Largest number of examples at once.
    """

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self.inputs = with_ones_column(n, train.storage.shape[1], dtype=train.dtype, device=device)
        self._scaling = train.scaling and train.scaling.to(device, train.dtype)
        is_on_device = train.device == device
        self._stored = empty_like(train.storage, n, device) if is_on_device and self._scaling else self.inputs[:, :-1]
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


class SharedGatherer:
    """Gatherer of one batch for each of several models, from data that the models share, on the CPU.

    The values are bit-identical to those of `Gatherer`, because each operation is correctly rounded.

    Attributes:
        inputs: Scaled inputs of each model with a last column of ones: (models, n, in_features + 1).

    Args:
        splits: Training split of each model.
        inputs: Memory for `inputs`.
    """

    def __init__(self, splits: Sequence[SharedSplit], inputs: Tensor) -> None:
        self._splits, self.inputs = splits, inputs
        models, n, _ = inputs.shape
        whole = splits[0].whole
        self._gathered = whole.new_empty(models * n, whole.shape[1])
        self._shift, self._scale = (
            torch.stack([getattr(split.scaling, name).to(inputs.dtype) for split in splits]).unsqueeze(1)
            for name in ("shift", "scale")
        )
        self._rows = torch.empty(0, dtype=torch.int64)  # positions of the examples of a chunk: (models, examples)

    def begin_chunk(self, index: Sequence[Tensor], targets: Tensor) -> None:
        """Choose the examples of a chunk and write their targets.

        Args:
            index: Positions of the examples in the split of each model.
            targets: Memory for the targets: (models, examples, …).
        """
        parts = zip(self._splits, index, targets, strict=True)
        self._rows = torch.stack([split.rows.index_select(0, positions) for split, positions, _ in parts])
        for split, positions, out in zip(self._splits, index, targets, strict=True):
            torch.index_select(split.targets, 0, positions, out=out)

    def gather(self, first: int, n: int) -> None:
        """Write the inputs of n examples of the chunk, from example `first`, to the first rows of `inputs`."""
        models = len(self._splits)
        gathered, inputs = self._gathered[: models * n], self.inputs[:, :n, :-1]
        torch.index_select(self._splits[0].whole, 0, self._rows[:, first : first + n].flatten(), out=gathered)
        torch.sub(gathered.view(models, n, -1), self._shift, out=inputs).div_(self._scale)


class BatchedGatherer:
    """Gatherer of the examples of several models, with one operation each for rows, scaling and targets.

    Attributes:
        inputs: Scaled inputs of each model with a last column of ones: (models, n, in_features + 1).

    Args:
        splits: Examples of each model, equally many, on the device of the models. Their inputs are copied unless all
            splits have the same storage.
        n: Largest number of examples at once.
    """

    def __init__(self, splits: Sequence[Split], n: int) -> None:
        first, models = splits[0], len(splits)
        self._storage, self._rows = _join(splits)
        self._all_targets = torch.stack([split.targets for split in splits])
        memory = with_ones_column(models * n, self._storage.shape[1], dtype=first.dtype, device=first.device)
        self.inputs = memory.view(models, n, -1)
        self._scaling: list[Tensor] = []  # shift and scale: (models, 1, in_features), or (models, 1, 1) for pixels
        if any(split.scaling is not None for split in splits):
            scalings = [(split.scaling or Scaling.identity()).to(first.device, first.dtype) for split in splits]
            for parts in ([part.shift for part in scalings], [part.scale for part in scalings]):
                self._scaling.append(torch.stack(torch.broadcast_tensors(*parts)).unsqueeze(1))

    def choose(self, index: Tensor | None, chosen: Tensor, targets: Tensor) -> None:
        """Choose examples and write their targets.

        Args:
            index: Positions of the examples in the split of each model, (models, examples); None for all.
            chosen: Memory for the positions of the examples in the storage: (models, examples).
            targets: Memory for the targets of the examples: (models, examples, …).
        """
        if index is None:
            chosen.copy_(self._rows)
            targets.copy_(self._all_targets)
        else:
            torch.gather(self._rows, 1, index, out=chosen)
            of_each = index.view(*index.shape, *[1] * (targets.dim() - 2)).expand_as(targets)
            torch.gather(self._all_targets, 1, of_each, out=targets)

    def choose_all(self) -> tuple[Tensor, Tensor]:
        """Return the positions of all examples in the storage, and their targets."""
        return self._rows, self._all_targets

    def gather(self, chosen: Tensor) -> Tensor:
        """Write the inputs of chosen examples to the first rows of `inputs`, and return these rows."""
        models, n = chosen.shape
        inputs = self.inputs[:, :n]
        stored = self._storage.index_select(0, chosen.flatten()).view(models, n, -1)
        if self._scaling:
            shift, scale = self._scaling
            torch.sub(stored, shift, out=inputs[..., :-1]).div_(scale)
        else:
            inputs[..., :-1].copy_(stored)
        return inputs


def _join(splits: Sequence[Split]) -> tuple[Tensor, Tensor]:
    """Return one tensor with the stored inputs of all splits, and the positions of the examples of each split in it."""
    storages = {id(split.storage): split.storage for split in splits}
    sizes = [len(storage) for storage in storages.values()]
    starts = dict(zip(storages, itertools.accumulate([0, *sizes]), strict=False))
    rows = [
        (split.rows if isinstance(split, SharedSplit) else torch.arange(len(split), device=split.device))
        + starts[id(split.storage)]
        for split in splits
    ]
    return torch.cat(list(storages.values())) if len(storages) > 1 else splits[0].storage, torch.stack(rows)


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
        parts = train.storage, train.targets
        self._pinned = [empty_like(part, n, train.device, pin_memory=True) for part in parts]
        self._on_device = [empty_like(part, n, device) for part in parts]
        self._copied, self._received = torch.cuda.Event(), torch.cuda.Event()
        self.received()  # earlier work that used this memory may still be running

    def send(self, index: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """Start the copy of n examples; return their stored inputs and targets for use on the current stream."""
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
    rows = index
    if isinstance(train, SharedSplit):
        rows = train.rows if index is None else train.rows.index_select(0, index)
    for values, positions, out in ((train.storage, rows, stored), (train.targets, index, targets)):
        if positions is None:
            out.copy_(values)
        else:
            torch.index_select(values, 0, positions, out=out)
