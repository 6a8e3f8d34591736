from __future__ import annotations

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import DigitsData
from dlcli.data.make_splits import make_splits
from dlcli.data.sources import SOURCES, load_splits
from dlcli.data.splits import DataInfo, RawData, Split
from dlcli.errors import DataError, DeviceError


def test_validation_split_is_stratified_disjoint_and_depends_on_the_seed() -> None:
    first, again, other = (load_splits(load_config("digits", [f"seed={seed}"]).config) for seed in (0, 0, 1))
    raw = SOURCES["digits"](DigitsData(name="digits"))
    all_inputs = torch.cat([first.input_scaling.invert(split.inputs) for split in (first.train, first.val, first.test)])
    assert torch.equal(all_inputs.round().sort(0).values, raw.train.inputs.sort(0).values)
    fractions = first.val.targets.bincount() / (first.train.targets.bincount() + first.val.targets.bincount())
    assert (fractions - 0.1).abs().max() < 0.01
    assert torch.equal(first.val.inputs, again.val.inputs)
    assert not torch.equal(first.val.inputs, other.val.inputs)
    assert torch.equal(first.test.targets, other.test.targets), "results of different seeds must be comparable"


@pytest.mark.parametrize(("how", "low"), [("standard", None), ("unit", 0), ("symmetric", -1)])
def test_scaling_is_fitted_on_train_only(how: str, low: float | None) -> None:
    inputs = torch.arange(100.0).reshape(50, 2)
    raw = RawData(
        DataInfo("made", "regression", 2, 1), Split(inputs, inputs[:, :1] * 3), Split(inputs + 1e6, inputs[:, :1])
    )
    splits = make_splits(raw, DigitsData(name="digits", normalize=how), seed=0)
    if how == "standard":
        torch.testing.assert_close(splits.train.inputs.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
        torch.testing.assert_close(splits.train.targets.std(0, correction=0), torch.ones(1))
    else:
        assert (splits.train.inputs.amin(), splits.train.inputs.amax()) == (low, 1)
        assert (splits.train.targets.amin(), splits.train.targets.amax()) == (low, 1)
    assert splits.test.inputs.min() > 1e3, "test values outside the range of train must stay outside"
    torch.testing.assert_close(splits.target_scaling.invert(splits.test.targets), inputs[:, :1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("how", ["symmetric", "standard"])
def test_constant_features_are_only_shifted(how: str) -> None:
    inputs = torch.cat([torch.full((20, 1), 7.0), torch.arange(20.0).unsqueeze(1)], 1)
    raw = RawData(DataInfo("made", "regression", 2, 1), Split(inputs, inputs[:, 1:]))
    splits = make_splits(raw, DigitsData(name="digits", normalize=how), seed=0)
    assert (splits.train.inputs[:, 0] == 0).all()


def test_too_few_examples_and_non_finite_values_are_refused() -> None:
    info = DataInfo("made", "regression", 1, 1)
    with pytest.raises(DataError, match="too few"):
        make_splits(RawData(info, Split(torch.ones(3, 1), torch.ones(3, 1))), DigitsData(name="digits"), seed=0)
    broken = torch.ones(50, 1)
    broken[3] = torch.nan
    with pytest.raises(DataError, match="not a finite number"):
        make_splits(RawData(info, Split(broken, torch.ones(50, 1))), DigitsData(name="digits"), seed=0)


def test_pixels_share_one_scale_and_features_have_one_each() -> None:
    assert len(build_experiment(load_config("digits").config).splits.input_scaling.shift) == 1
    assert len(build_experiment(load_config("diabetes").config).splits.input_scaling.shift) == 10


@pytest.mark.parametrize("how", ["none", "unit", "symmetric", "standard"])
def test_images_stay_bytes_and_are_scaled_on_access(how: str) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 200, (60, 784), dtype=torch.uint8, generator=generator)
    labels = torch.arange(60) % 3
    info = DataInfo("made", "classification", 784, 3, image_shape=(1, 28, 28))
    config = DigitsData(name="digits", normalize=how)
    kept, whole = (
        make_splits(RawData(info, Split(values, labels)), config, seed=0) for values in (pixels, pixels.float())
    )
    assert kept.train.stored.dtype == torch.uint8
    assert kept.train.dtype == torch.float32
    chosen = torch.tensor([5, 0, 11])
    for name in ("train", "val", "test"):
        from_bytes, from_floats = getattr(kept, name), getattr(whole, name)
        torch.testing.assert_close(
            from_bytes.inputs, from_floats.inputs, rtol=1e-6, atol=1e-6
        )  # the mean is summed in another order
        assert torch.equal(
            from_bytes.select(chosen % len(from_bytes)).inputs, from_bytes.inputs[chosen % len(from_bytes)]
        )
        assert torch.equal(torch.cat([part.inputs for part in from_bytes.batches(4)]), from_bytes.inputs)
        assert torch.equal(from_bytes.to(torch.device("cpu"), torch.float64).inputs, from_bytes.inputs.double())
        for dtype in (torch.float32, torch.float64):
            placed = from_bytes.to(torch.device("cpu"), dtype)
            assert from_bytes.nbytes(dtype) == placed.stored.nbytes + placed.targets.nbytes


@pytest.mark.parametrize("how", ["none", "unit", "symmetric", "standard"])
@pytest.mark.parametrize("is_bytes", [False, True])
def test_input_range_of_bytes_is_computed_without_scaling_all_of_them(how: str, is_bytes: bool) -> None:
    images = torch.arange(250, dtype=torch.uint8).reshape(50, 5)
    stored = images if is_bytes else images.float()
    info = DataInfo("made", "classification", 5, 2, image_shape=(1, 1, 5))
    labels = torch.arange(50) % 2
    raw = RawData(info, Split(stored, labels), Split(stored, labels))
    train = make_splits(raw, DigitsData(name="digits", normalize=how), seed=0).train
    assert train.input_range == (train.inputs.min().item(), train.inputs.max().item())
    assert train.stored.dtype == stored.dtype


def test_a_validation_fraction_of_zero_trains_on_all_examples() -> None:
    with_val, without = (load_splits(load_config("digits", [f"data.val_fraction={f}"]).config) for f in (0.1, 0))
    assert (len(without.train), len(without.val)) == (len(with_val.train) + len(with_val.val), 0)
    assert torch.equal(without.test.targets, with_val.test.targets)


@pytest.mark.parametrize(
    ("fraction", "hint"), [(1e-18, "raise data.val_fraction"), (0.999999, "lower data.val_fraction")]
)
def test_a_fraction_that_leaves_no_examples_has_a_hint_to_raise_or_lower_it(fraction: float, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load_splits(load_config("digits", [f"data.val_fraction={fraction}", "training.batch_size=full"]).config)
    assert str(caught.value.hint).startswith(hint)


def test_data_larger_than_memory_raises_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(config: object) -> RawData:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 400000000000 bytes")

    monkeypatch.setitem(SOURCES, "digits", load)
    with pytest.raises(DeviceError, match="out of memory for the data of digits"):
        load_splits(load_config("digits").config)
