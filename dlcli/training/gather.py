"""Examples by index, on the model's device, in memory that is used again and again."""

from __future__ import annotations

import torch
from torch import Tensor

from dlcli.data.splits import Split


class Gatherer:
    """Brings examples to the model's device.

    Where they live there, they are gathered there. Where they don't, because they would not fit, they are gathered in
    page-locked memory of the host and copied while the device still works on those before: two buffers take turns.

    Args:
        train: All examples, on the model's device or on the CPU.
        device: The model's.
        n: Most examples at once.
    """

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self._here = _empty_like(train, n, device)
        self._remote: list[_Transfer] = []
        if train.inputs.device != device:
            self._remote = [_Transfer(train, device, n) for _ in range(2)]

    def __call__(self, index: Tensor) -> Split:
        """Return the examples of `index`, int64 on the device of `train`; the next call but one overwrites them."""
        if not self._remote:
            return _gather(self._train, index, self._here)
        self._remote.reverse()
        return self._remote[0].send(index)


class _Transfer:
    """A buffer on the host, one on the device, and the word that the first may be filled again."""

    def __init__(self, train: Split, device: torch.device, n: int) -> None:
        self._train = train
        self._host = _empty_like(train, n, torch.device("cpu"), pin_memory=device.type == "cuda")
        self._device = _empty_like(train, n, device)
        self._copied = torch.cuda.Event() if device.type == "cuda" else None

    def send(self, index: Tensor) -> Split:
        if self._copied is not None:
            self._copied.synchronize()
        host = _gather(self._train, index, self._host)
        device = _first(self._device, len(index))
        device.inputs.copy_(host.inputs, non_blocking=True)
        device.targets.copy_(host.targets, non_blocking=True)
        if self._copied is not None:
            self._copied.record()
        return device


def _empty_like(train: Split, n: int, device: torch.device, *, pin_memory: bool = False) -> Split:
    inputs, targets = (
        torch.empty((n, *one.shape[1:]), dtype=one.dtype, device=device, pin_memory=pin_memory)
        for one in (train.inputs, train.targets)
    )
    return Split(inputs, targets)


def _first(buffer: Split, n: int) -> Split:
    return Split(buffer.inputs[:n], buffer.targets[:n])


def _gather(train: Split, index: Tensor, buffer: Split) -> Split:
    out = _first(buffer, len(index))
    torch.index_select(train.inputs, 0, index, out=out.inputs)
    torch.index_select(train.targets, 0, index, out=out.targets)
    return out
