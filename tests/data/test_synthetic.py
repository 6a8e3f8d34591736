from __future__ import annotations

import math

import pytest
import torch

from dlcli.config.schema import SyntheticClassificationData, SyntheticRegressionData
from dlcli.data.synthetic import load_synthetic_classification, load_synthetic_regression, true_function


@pytest.mark.parametrize("function", ["linear", "polynomial", "sine", "step", "friedman1"])
def test_residuals_of_the_true_function_are_the_noise(function: str) -> None:
    config = SyntheticRegressionData(
        name="synthetic_regression", function=function, n_samples=20_000, in_features=6, noise=0.5
    )
    raw = load_synthetic_regression(config)
    residuals = raw.train.targets - true_function(config)[0].function(raw.train.inputs)
    assert raw.info.noise == 0.5
    assert abs(residuals.std().item() - 0.5) < 0.01
    assert abs(residuals.mean().item()) < 0.02
    again = load_synthetic_regression(config)
    assert torch.equal(raw.train.inputs, again.train.inputs)
    other = load_synthetic_regression(config.model_copy(update={"seed": 1}))
    assert not torch.equal(raw.train.inputs, other.train.inputs)


def test_friedman1_matches_the_published_formula() -> None:
    config = SyntheticRegressionData(name="synthetic_regression", function="friedman1", in_features=7)
    x = torch.tensor([[0.5, 1.0, 0.25, 0.1, 0.2, 9.0, 9.0]])
    expected = 10 * math.sin(math.pi * 0.5) + 20 * 0.0625 + 1.0 + 1.0
    assert true_function(config)[0].function(x).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pattern", "classes"), [("blobs", 4), ("moons", 2), ("circles", 2), ("spirals", 3)], ids=lambda value: str(value)
)
def test_patterns_have_equally_large_classes(pattern: str, classes: int) -> None:
    config = SyntheticClassificationData(
        name="synthetic_classification", pattern=pattern, n_samples=600, n_classes=classes, noise=0.05
    )
    raw = load_synthetic_classification(config)
    assert raw.train.inputs.shape == (600, 2)
    assert raw.train.targets.bincount().tolist() == [600 // classes] * classes
    assert torch.equal(raw.train.inputs, load_synthetic_classification(config).train.inputs)


def test_nearest_neighbours_separate_the_spirals() -> None:
    config = SyntheticClassificationData(
        name="synthetic_classification", pattern="spirals", n_samples=900, n_classes=3, noise=0.01
    )
    raw = load_synthetic_classification(config)
    distances = torch.cdist(raw.train.inputs, raw.train.inputs).fill_diagonal_(math.inf)
    assert (raw.train.targets[distances.argmin(1)] == raw.train.targets).float().mean() > 0.95
