"""Examples by index, on the model's device, in memory that is used again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.data.splits import Split
from dlcli.training.layers import ones_beside


class Gatherer:
    """Brings examples to the model's device, their inputs always into the same memory.

    Where they live there, they are gathered there. Where they don't, because they would not fit, they are gathered in
    page-locked memory of the host while the device still works on those before, and the copy is not waited for: two
    buffers take turns.
    Bytes are scaled here, while they are in the cache.

    Attributes:
        inputs: Memory for inputs, scaled, with a last column of ones: (n, in_features + 1).

    Args:
        train: All examples, on the model's device or on the CPU.
        device: The model's.
        n: Most examples at once.
    """

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self.inputs = ones_beside(n, train.stored.shape[1], dtype=train.dtype, device=device)
        self._stored = self.inputs[:, :-1] if train.scaling is None else empty_like(train.stored, n, device)
        self._scaling = train.scaling and train.scaling.to(device, train.dtype)
        self._transfers = [_Transfer(train, n) for _ in range(2)] if train.device != device else []
        self._has_all = False

    def __call__(self, index: Tensor | None, targets: Tensor) -> None:
        """Put examples into the first rows of `inputs` and into `targets`.

        Args:
            index: Which, int64 on the device of `train`; None for all.
            targets: Memory for as many on the model's device. After a None, the next one expects what the first left.
        """
        if index is None and self._has_all:
            return
        stored = self._stored[: len(targets)]
        if self._transfers:
            self._transfers.reverse()
            self._transfers[0].send(index, stored, targets)
        else:
            _gather(self._train, index, stored, targets)
        if self._scaling is not None:
            self._scaling.put(stored, self.inputs[: len(targets), :-1])
        self._has_all = index is None


class _Transfer:
    """A buffer on the host, and the word that it may be filled again."""

    def __init__(self, train: Split, n: int) -> None:
        self._train = train
        can_lock = torch.cuda.is_available()
        self._host = [empty_like(one, n, train.device, pin_memory=can_lock) for one in (train.stored, train.targets)]
        self._copied = torch.cuda.Event() if can_lock else None

    def send(self, index: Tensor | None, stored: Tensor, targets: Tensor) -> None:
        """Copy examples into `stored` and `targets`, which live on the device."""
        if self._copied is not None:
            self._copied.synchronize()
        host = [one[: len(stored)] for one in self._host]
        _gather(self._train, index, *host)
        stored.copy_(host[0], non_blocking=True)
        targets.copy_(host[1], non_blocking=True)
        if self._copied is not None:
            self._copied.record()


def empty_like(values: Tensor, n: int, device: torch.device, *, pin_memory: bool = False) -> Tensor:
    """Return memory for n rows like those of `values`."""
    return torch.empty((n, *values.shape[1:]), dtype=values.dtype, device=device, pin_memory=pin_memory)


def _gather(train: Split, index: Tensor | None, stored: Tensor, targets: Tensor) -> None:
    for all_of_them, out in ((train.stored, stored), (train.targets, targets)):
        if index is None:
            out.copy_(all_of_them)
        else:
            torch.index_select(all_of_them, 0, index, out=out)
