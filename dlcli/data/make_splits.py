"""Drawing and scaling of the splits of data that is loaded as a whole."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from dlcli.config.schema import DataSection
from dlcli.data.preprocessing import Preprocessing
from dlcli.data.scaling import BYTES, Scaling, fit_scaling
from dlcli.data.shared_split import SharedSplit
from dlcli.data.splits import RawData, Split, Splits
from dlcli.errors import DataError

_TEST_SEED = 0  # same test split in every run, so that results are comparable


def make_splits(
    raw: RawData, config: DataSection, seed: int, inherited: Preprocessing | None = None, *, shares: bool = False
) -> Splits:
    """Draw the validation and test splits that the data does not have yet; then scale all splits.

    Args:
        raw: The data.
        config: Data section of the config.
        seed: Seed that draws the validation split.
        inherited: Preprocessing of a trained model to use; None fits it on the training examples.
        shares: Whether the training and test splits refer to the inputs in `raw` where possible, so that the splits of
            several seeds need only one copy.

    Raises:
        DataError: If the data has too few examples for the splits, or a value that is not finite.
    """
    raw = raw if raw.is_prepared else prepare(raw, config)
    info, train, test, val, notes = raw.info, raw.train, raw.test, raw.val, raw.notes
    del raw  # saves one copy of the examples if the caller keeps no reference either
    assert test is not None, "it is prepared"
    whole, rows = train.stored, torch.arange(len(train))
    if val is None and config.val_fraction:
        rows, drawn = _draw_rows(train, config.val_fraction, seed, "validation")
        train, val = train.select(rows), train.select(drawn)
    elif val is None:
        val = train.select(torch.zeros(0, dtype=torch.int64))
    per_image = info.image_shape is not None  # one scale for all pixels instead of one per feature
    if inherited:
        inherited.check_features(info.feature_names, info.image_shape)
        if info.feature_names != inherited.info.feature_names:
            raise inherited.differs("they have another order")
        input_scaling, target_scaling = inherited.input_scaling, inherited.scaling_of_targets(info.target_name)
    else:
        input_scaling, target_scaling = fit_scaling(train.stored, config.normalize, jointly=per_image), None
    if info.task == "classification":
        target_scaling = Scaling.identity()
    elif target_scaling is None:
        target_scaling = fit_scaling(train.targets, config.normalize, jointly=False)
    applied = target_scaling if info.task == "regression" else None
    val = val.scaled_by(input_scaling, applied)
    if shares and whole.dtype in (torch.float32, BYTES):
        all_rows = torch.arange(len(test))
        train = SharedSplit(whole, rows, train.scaled_targets(applied), input_scaling)
        test = SharedSplit(test.stored, all_rows, test.scaled_targets(applied), input_scaling)
    else:
        train, test = (split.scaled_by(input_scaling, applied) for split in (train, test))
    return Splits(info, train, val, test, input_scaling, target_scaling, notes)


def prepare(raw: RawData, config: DataSection) -> RawData:
    """Check that all values are finite, and draw the test split if the data has none.

    Raises:
        DataError: If the data has too few examples for the split, or a value that is not finite.
    """
    _check_finite(raw)
    train, test = raw.train, raw.test
    if test is None:
        train, test = _split_off(train, config.fraction_for_test(), _TEST_SEED, "test")
    return replace(raw, train=train, test=test, is_prepared=True)


def _check_finite(raw: RawData) -> None:
    for split in (raw.train, raw.val, raw.test):
        tensors = (split.stored, split.targets) if split is not None else ()
        for values in (tensor for tensor in tensors if tensor.dtype.is_floating_point):
            lowest, highest = values.aminmax()  # aminmax propagates NaN and takes 9 ms, isfinite().all() takes 300 ms
            if not (lowest.isfinite() and highest.isfinite()):
                raise DataError(f"{raw.info.name} contains a value that is not a finite number")


def _split_off(split: Split, fraction: float, seed: int, name: str) -> tuple[Split, Split]:
    """Return (rest, part), see `_draw_rows`."""
    rest, part = _draw_rows(split, fraction, seed, name)
    return split.select(rest), split.select(part)


def _draw_rows(split: Split, fraction: float, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """Draw a `fraction` of the examples, stratified by class if they have labels.

    Return the positions of the remaining and of the drawn examples. Both keep the order of the data, so that only the
    selection depends on `seed`.
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
            f"{len(split)} examples are too few for a {name} split of {fraction}",
            hint=f"{change} data.{'val' if name == 'validation' else name}_fraction, or use more data",
        )
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()
