"""Train, validation and test splits as tensors, with a description of the data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from dlcli.config.schema import TaskName
from dlcli.data.encoding import ColumnInfo
from dlcli.data.scaling import BYTES, Scaling
from dlcli.errors import DataError


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
        stored: Stored inputs of shape (N, in_features): floating point, or image pixels as bytes.
        targets: Labels, int64 of shape (N,), or values, floating point of shape (N, out_features).
        scaling: Scaling applied to stored bytes on each access; None if `stored` holds the model inputs.
    """

    stored: Tensor
    targets: Tensor
    scaling: Scaling | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Tensor | slice) -> Split:
        return replace(self, stored=self.stored[index], targets=self.targets[index])

    @property
    def storage(self) -> Tensor:
        """Tensor that contains the stored inputs: `stored`, or the inputs of more examples, see `SharedSplit`."""
        return self.stored

    @property
    def inputs(self) -> Tensor:
        """Model inputs of shape (N, in_features); computed on each access if stored as bytes."""
        return self.stored if self.scaling is None else self.scaling.apply(self.stored)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the inputs."""
        return self.storage.dtype if self.scaling is None else torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.targets.device

    @property
    def input_range(self) -> tuple[float, float]:
        """Smallest and largest input value; if all features share one scaling, only these two values are scaled."""
        if self.scaling is not None and self.scaling.shift.numel() > 1:
            low, high = torch.stack(self.inputs.aminmax()).tolist()
            return low, high
        extremes = torch.stack(self.stored.aminmax()).reshape(2, 1)
        low, high = (extremes if self.scaling is None else self.scaling.apply(extremes)).flatten().tolist()
        return low, high

    def select(self, index: Tensor) -> Split:
        """Return copies of the examples of `index`, int64 on the split's device."""
        stored, targets = (tensor.index_select(0, index) for tensor in (self.stored, self.targets))
        return replace(self, stored=stored, targets=targets)

    def batches(self, size: int) -> Iterator[Split]:
        """Yield consecutive batches of `size` examples; the last batch may be smaller."""
        return (self[slice(start, start + size)] for start in range(0, len(self), size))

    def evenly_spaced(self, count: int) -> Split:
        """Return copies of `count` evenly spaced examples; the split itself if it has at most `count`."""
        if len(self) <= count:
            return self
        return self.select(torch.linspace(0, len(self) - 1, count).round().long().to(self.device))

    def scaled_by(self, inputs: Scaling, targets: Scaling | None) -> Split:
        """Return the scaled split. Bytes stay bytes: they take a quarter of the memory and of the traffic per step."""
        scaled_targets = self.scaled_targets(targets)
        if self.stored.dtype == BYTES:
            return Split(self.stored, scaled_targets, inputs)
        return Split(inputs.apply(self.stored), scaled_targets)

    def scaled_targets(self, scaling: Scaling | None) -> Tensor:
        """Return the scaled targets; None leaves them as they are."""
        return self.targets if scaling is None else scaling.apply(self.targets)

    def nbytes(self, dtype: torch.dtype) -> int:
        """Return the memory size in bytes after conversion with `to`."""
        per_input = self.storage.element_size() if self._keeps_bytes(dtype) else dtype.itemsize
        return len(self) * self.storage.shape[1] * per_input + self.targets.numel() * max(
            self.targets.element_size(), dtype.itemsize
        )

    def _keeps_bytes(self, dtype: torch.dtype) -> bool:
        return self.scaling is not None and dtype == self.dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> Split:
        """Return the split on `device` with floating-point tensors as `dtype`; bytes stay bytes for float32."""
        targets = self.targets if self.targets.dtype == torch.int64 else self.targets.to(dtype)
        if self.scaling is None or not self._keeps_bytes(dtype):
            return Split(self.inputs.to(device, dtype), targets.to(device))
        return Split(self.stored.to(device), targets.to(device), self.scaling.to(device, dtype))


@dataclass(frozen=True)
class DataInfo:
    """Description of a data set, stored in every checkpoint.

    Attributes:
        name: Name of the data source.
        task: Task that the data is for.
        in_features: Number of features of an input.
        out_features: Number of classes, or number of values of a target.
        class_names: Names in label order; empty for regression.
        feature_names: Names in input order; empty if the features are pixels.
        target_name: Name of the predicted quantity.
        target_unit: Unit of regression results; empty if they have no unit.
        image_shape: (channels, height, width) if the inputs are images.
        formula: Formula of the noise-free target of synthetic regression data.
        noise: Standard deviation of the noise in synthetic data; its square is the smallest possible MSE.
        checksums: SHA-256 by file name, if the data was read from files.
        columns: Columns of a table that the features are made from, in order.
    """

    name: str
    task: TaskName
    in_features: int
    out_features: int
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_name: str = "class"
    target_unit: str = ""
    image_shape: tuple[int, int, int] | None = None
    formula: str = ""
    noise: float | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[ColumnInfo, ...] = ()


class MissingDataError(DataError):
    """Missing or damaged data that can be downloaded."""


@dataclass(frozen=True)
class RawData:
    """Unscaled examples of a data source.

    Attributes:
        info: Description of the data.
        train: Training examples, including the examples of splits that must still be drawn.
        test: Given test split; None if it must be drawn.
        val: Given validation split; None if it must be drawn.
        notes: Messages for the user about the data, one line each.
        is_prepared: Whether the values are checked and the test split is drawn, which is the same for every seed.
    """

    info: DataInfo
    train: Split
    test: Split | None = None
    val: Split | None = None
    notes: tuple[str, ...] = ()
    is_prepared: bool = False


@dataclass(frozen=True)
class Splits:
    """Train, validation and test splits of a run, scaled by statistics of the training split.

    The validation split is empty if `data.val_fraction` is 0. `notes` are messages for the user about the data, among
    them `duplicates` about equal examples in the user's own data. `layout` holds the settings of the data section that
    were found in the files.
    """

    info: DataInfo
    train: Split
    val: Split
    test: Split
    input_scaling: Scaling
    target_scaling: Scaling
    notes: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    layout: Mapping[str, str] = field(default_factory=dict)

    @property
    def monitored_name(self) -> Literal["train", "val"]:
        """Name of the split that training monitors: val, or train if there is no validation split."""
        return "val" if len(self.val) else "train"

    @property
    def monitored(self) -> Split:
        """The split that training monitors."""
        return self.val if len(self.val) else self.train

    def to(self, device: torch.device, dtype: torch.dtype) -> Splits:
        """Return the splits on `device` with floating-point tensors as `dtype`."""
        train, val, test = (split.to(device, dtype) for split in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)
