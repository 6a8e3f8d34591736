"""Train, validation and test examples as whole tensors, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dlcli.config.schema import DataSection, TaskName
from dlcli.data.scaling import BYTES, Scaling, fit_scaling
from dlcli.errors import DataError

_TEST_SEED = 0  # the test split is the same for every run, so that results can be compared


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
        stored: Inputs as they are kept, shape (N, in_features): floating point, or the bytes of images.
        targets: Labels, int64 of shape (N,), or values, floating point of shape (N, out_features).
        scaling: What bytes go through whenever they are taken; None if what is stored is taken as it is.
    """

    stored: Tensor
    targets: Tensor
    scaling: Scaling | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Tensor | slice) -> Split:
        return replace(self, stored=self.stored[index], targets=self.targets[index])

    @property
    def inputs(self) -> Tensor:
        """What a model is given, shape (N, in_features): stored so, or made of bytes anew each time."""
        return self.stored if self.scaling is None else self.scaling.apply(self.stored)

    @property
    def dtype(self) -> torch.dtype:
        """Of the inputs."""
        return self.stored.dtype if self.scaling is None else torch.float32

    @property
    def device(self) -> torch.device:
        """Where it is stored."""
        return self.stored.device

    @property
    def input_range(self) -> tuple[float, float]:
        """Least and largest value of the inputs; of bytes, of what is made of them, without making it."""
        ends = torch.stack(self.stored.aminmax()).reshape(2, 1)
        low, high = (ends if self.scaling is None else self.scaling.apply(ends)).flatten().tolist()
        return low, high

    def select(self, index: Tensor) -> Split:
        """Return copies of the examples of `index`, int64 on the split's device."""
        stored, targets = (one.index_select(0, index) for one in (self.stored, self.targets))
        return replace(self, stored=stored, targets=targets)

    def batches(self, size: int) -> Iterator[Split]:
        """Yield so many examples at a time, in their order; the last may be fewer."""
        return (self[slice(start, start + size)] for start in range(0, len(self), size))

    def evenly_spaced(self, count: int) -> Split:
        """Return copies of `count` examples from the first to the last; the split itself if it has no more."""
        if len(self) <= count:
            return self
        return self.select(torch.linspace(0, len(self) - 1, count).round().long().to(self.device))

    def scaled_by(self, inputs: Scaling, targets: Scaling | None) -> Split:
        """Return the split scaled. Bytes stay, for they take a quarter of the memory, and of what is read per step."""
        own_targets = self.targets if targets is None else targets.apply(self.targets)
        if self.stored.dtype == BYTES:
            return Split(self.stored, own_targets, inputs)
        return Split(inputs.apply(self.stored), own_targets)

    def nbytes(self, dtype: torch.dtype) -> int:
        """Return how much memory it takes as `dtype`: see `to`."""
        per_input = self.stored.element_size() if self._stays_stored(dtype) else dtype.itemsize
        return self.stored.numel() * per_input + self.targets.numel() * max(self.targets.element_size(), dtype.itemsize)

    def _stays_stored(self, dtype: torch.dtype) -> bool:
        return self.scaling is not None and dtype == self.dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> Split:
        """Return the split on `device`, its floating-point tensors as `dtype`; bytes stay if their inputs are that."""
        targets = self.targets if self.targets.dtype == torch.int64 else self.targets.to(dtype)
        if self.scaling is None or not self._stays_stored(dtype):
            return Split(self.inputs.to(device, dtype), targets.to(device))
        return Split(self.stored.to(device), targets.to(device), self.scaling.to(device, dtype))


@dataclass(frozen=True)
class DataInfo:
    """What is known about a data set.

    Attributes:
        name: The data source.
        task: The task that the data is for.
        in_features: Length of an input.
        out_features: Number of classes, or length of a target.
        class_names: In the order of the labels; empty for regression.
        feature_names: In the order of the inputs; empty where features are pixels.
        target_name: What is predicted.
        target_unit: Unit that regression results are reported in; "" for a bare number.
        image_shape: (height, width) where inputs are images.
        true_function: For synthetic regression, inputs in their own unit -> noise-free targets (N, 1).
        formula: The same, written out.
        noise: Standard deviation of the noise in synthetic data: the root of the least MSE there can be.
        checksums: SHA-256 by file name, where the data was read from files.
    """

    name: str
    task: TaskName
    in_features: int
    out_features: int
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_name: str = "class"
    target_unit: str = ""
    image_shape: tuple[int, int] | None = None
    true_function: Callable[[Tensor], Tensor] | None = None
    formula: str = ""
    noise: float | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


class MissingDataError(DataError):
    """Data that is not there, or not whole, and might be fetched."""


@dataclass(frozen=True)
class RawData:
    """What a source gives: unscaled examples, the test split already apart (None: draw one)."""

    info: DataInfo
    train: Split
    test: Split | None = None


@dataclass(frozen=True)
class Splits:
    """What a run learns from and is measured on, scaled by figures of train alone."""

    info: DataInfo
    train: Split
    val: Split
    test: Split
    input_scaling: Scaling
    target_scaling: Scaling

    def to(self, device: torch.device, dtype: torch.dtype) -> Splits:
        """Return the same splits on `device`, floating-point tensors as `dtype`."""
        train, val, test = (split.to(device, dtype) for split in (self.train, self.val, self.test))
        return replace(self, train=train, val=val, test=test)


def make_splits(raw: RawData, config: DataSection, seed: int) -> Splits:
    """Split validation examples from train (and test, where there is no official one), then scale.

    Raises:
        DataError: If there are too few examples for all splits, or a value is not finite.
    """
    _check_finite(raw)
    info, train, test = raw.info, raw.train, raw.test
    del raw  # a caller that keeps no reference either needs a copy less of the examples at once
    if test is None:
        fraction = getattr(config, "test_fraction")  # noqa: B009  # only sources without a test split have it
        train, test = _split_off(train, fraction, _TEST_SEED, "test")
    train, val = _split_off(train, config.val_fraction, seed, "validation")
    per_image = info.image_shape is not None  # one figure for all pixels, or one per feature
    input_scaling = fit_scaling(train.stored, config.normalize, jointly=per_image)
    if info.task == "regression":
        target_scaling = fit_scaling(train.targets, config.normalize, jointly=False)
    else:
        target_scaling = Scaling.identity()
    own_targets = target_scaling if info.task == "regression" else None
    train, val, test = (split.scaled_by(input_scaling, own_targets) for split in (train, val, test))
    return Splits(info, train, val, test, input_scaling, target_scaling)


def _check_finite(raw: RawData) -> None:
    for split in (raw.train, raw.test):
        tensors = (split.stored, split.targets) if split is not None else ()
        for values in (one for one in tensors if one.dtype.is_floating_point):
            lowest, highest = values.aminmax()  # NaN goes through; 9 ms where isfinite().all() takes 300
            if not (lowest.isfinite() and highest.isfinite()):
                raise DataError(f"{raw.info.name} holds a value that is not a finite number")


def _split_off(split: Split, fraction: float, seed: int, what: str) -> tuple[Split, Split]:
    """Return (rest, part): `part` is `fraction` of the examples, of each class where there are labels.

    Both keep the order of the data, so that the split alone depends on `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.zeros(len(split), dtype=torch.bool)
    labelled = split.targets.dtype == torch.int64
    groups = [torch.nonzero(split.targets == label).flatten() for label in split.targets.unique()] if labelled else []
    for group in groups or [torch.arange(len(split))]:
        order = torch.randperm(len(group), generator=generator)
        chosen[group[order[: round(fraction * len(group))]]] = True
    if chosen.all() or not chosen.any():
        change = "lower" if chosen.all() else "raise"
        raise DataError(
            f"{len(split)} examples are too few for a {what} split of {fraction}",
            hint=f"{change} data.{'val' if what == 'validation' else what}_fraction, or take more data",
        )
    rest, part = ((chosen == here).nonzero().flatten() for here in (False, True))
    return split.select(rest), split.select(part)
