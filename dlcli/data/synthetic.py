"""Synthetic data with a known true function, for comparison with results."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dlcli.config.schema import SyntheticClassificationData, SyntheticRegressionData
from dlcli.data.splits import DataInfo, RawData, Split


class TrueFunction(NamedTuple):
    """Noise-free target function, (N, in_features) -> (N, 1), with its formula and input range."""

    function: Callable[[Tensor], Tensor]
    formula: str
    low: float
    high: float


def load_synthetic_regression(config: SyntheticRegressionData) -> RawData:
    """Generate inputs uniformly in the function's range, and targets with added Gaussian noise."""
    truth, generator = true_function(config)
    shape = (config.n_samples, config.in_features)
    inputs = torch.rand(shape, generator=generator) * (truth.high - truth.low) + truth.low
    noise = torch.randn(config.n_samples, 1, generator=generator) * config.noise
    info = DataInfo(
        name=config.name,
        task="regression",
        in_features=config.in_features,
        out_features=1,
        feature_names=tuple(f"x{i}" for i in range(1, config.in_features + 1)),
        target_name="y",
        formula=truth.formula,
        noise=config.noise,
    )
    return RawData(info, Split(inputs, truth.function(inputs) + noise))


def true_function(config: SyntheticRegressionData) -> tuple[TrueFunction, torch.Generator]:
    """Return the noise-free function of a data set, and the random generator from which the data is drawn next."""
    generator = torch.Generator().manual_seed(config.seed)
    return _draw_function(config, generator), generator


def _draw_function(config: SyntheticRegressionData, generator: torch.Generator) -> TrueFunction:
    match config.function:
        case "linear":
            weights = torch.randn(config.in_features, 1, generator=generator)
            bias = torch.randn(1, generator=generator)
            terms = "".join(f" {w:+.3f} x{i}" for i, w in enumerate(weights.flatten().tolist(), 1))
            return TrueFunction(lambda x: x @ weights + bias, f"y = {bias.item():.3f}{terms}", -3, 3)
        case "polynomial":
            return _sum_of(lambda x: 0.5 * x**3 - 2 * x, "0.5 x³ − 2 x")
        case "sine":
            return _sum_of(torch.sin, "sin x")
        case "step":
            return _sum_of(lambda x: (x > 0).float(), "[x > 0]")
        case "friedman1":
            return TrueFunction(_friedman1, "y = 10 sin(π x1 x2) + 20 (x3 − 0.5)² + 10 x4 + 5 x5", 0, 1)


def _sum_of(term: Callable[[Tensor], Tensor], formula: str) -> TrueFunction:
    return TrueFunction(lambda x: term(x).sum(1, keepdim=True), f"y = Σ {formula}", -3, 3)


def _friedman1(x: Tensor) -> Tensor:
    """Return equation 61 of Friedman (1991), "Multivariate Adaptive Regression Splines"; the first 5 features count."""
    y = 10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return y.unsqueeze(1)


def load_synthetic_classification(config: SyntheticClassificationData) -> RawData:
    """Generate points in `n_classes` classes of equal size, in random order."""
    inputs, labels = _spirals(config) if config.pattern == "spirals" else _from_sklearn(config)
    info = DataInfo(
        name=config.name,
        task="classification",
        in_features=inputs.shape[1],
        out_features=config.n_classes,
        class_names=tuple(f"class {i}" for i in range(config.n_classes)),
        feature_names=tuple(f"x{i}" for i in range(1, inputs.shape[1] + 1)),
        noise=config.noise,
    )
    return RawData(info, Split(inputs, labels))


def _from_sklearn(config: SyntheticClassificationData) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import make_blobs, make_circles, make_moons

    n, noise, seed = config.n_samples, config.noise, config.seed
    match config.pattern:
        case "moons":
            points, labels = make_moons(n, noise=noise, random_state=seed)
        case "circles":
            points, labels = make_circles(n, noise=noise, factor=0.5, random_state=seed)
        case _:
            points, labels = make_blobs(
                n, n_features=config.in_features, centers=config.n_classes, cluster_std=noise, random_state=seed
            )
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels).long()


def _spirals(config: SyntheticClassificationData) -> tuple[Tensor, Tensor]:
    """Generate evenly spaced spiral arms with one turn around the origin each."""
    generator = torch.Generator().manual_seed(config.seed)
    labels = (torch.arange(config.n_samples) % config.n_classes)[torch.randperm(config.n_samples, generator=generator)]
    along = torch.rand(
        config.n_samples, generator=generator
    ).sqrt()  # uniform density along the arm, not concentrated at the origin
    angle = 2 * math.pi * (along + labels / config.n_classes)
    points = along.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], 1)
    return points + config.noise * torch.randn(points.shape, generator=generator), labels
