"""Examples that share one copy of a data set with the splits of other seeds."""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from dlcli.data.scaling import Scaling
from dlcli.data.splits import Split


class SharedSplit(Split):
    """Split that shares one copy of the inputs of a data set with other splits; copies and scales examples on access.

    Args:
        whole: Stored inputs of all examples: float32 or bytes.
        rows: Positions of the examples of this split in `whole`, int64 on the same device.
        targets: Scaled targets of the examples of this split.
        scaling: Scaling of the inputs, for float32.
    """

    def __init__(self, whole: Tensor, rows: Tensor, targets: Tensor, scaling: Scaling) -> None:
        for name, value in (("whole", whole), ("rows", rows), ("targets", targets), ("scaling", scaling)):
            object.__setattr__(self, name, value)  # the base class is frozen

    whole: Tensor
    rows: Tensor
    scaling: Scaling

    @property
    def stored(self) -> Tensor:
        """Copy of the stored inputs."""
        return self.whole.index_select(0, self.rows)

    @property
    def storage(self) -> Tensor:
        """Stored inputs of all examples."""
        return self.whole

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Split:
        rows = self.rows[index]
        return Split(self.whole.index_select(0, rows), self.targets[index], self.scaling)

    def select(self, index: Tensor) -> Split:
        """See `Split.select`."""
        return self[index]

    def to(self, device: torch.device, dtype: torch.dtype) -> Split:
        """Return the same examples; they stay shared in float32, with one copy of `whole` on each device."""
        if dtype != torch.float32:
            return Split(self.stored, self.targets, self.scaling).to(device, dtype)
        targets = (self.targets if self.targets.dtype == torch.int64 else self.targets.to(dtype)).to(device)
        whole, rows = _copy_on(device, self.whole), self.rows.to(device)
        return SharedSplit(whole, rows, targets, self.scaling.to(device, dtype))


_copies: MutableMapping[Tensor, dict[torch.device, Tensor]] = WeakIdKeyDictionary()


def _copy_on(device: torch.device, values: Tensor) -> Tensor:
    """Return the single shared copy of a tensor on a device; the tensor itself if it is on this device."""
    if values.device == device:
        return values
    copies = _copies.setdefault(values, {})
    if device not in copies:
        copies[device] = values.to(device)
    return copies[device]
