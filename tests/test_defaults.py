"""The default settings learn every data source: a config of two lines ends near the best result for its data."""

from __future__ import annotations

import math
import statistics
import warnings
from pathlib import Path
from typing import Any

import pytest

import dlcli
from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.evaluation.evaluate import evaluate_model
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit

# Data in a config of two lines -> smallest acceptable accuracy or R² on the test split. The bounds are the mean results
# of scikit-learn's MLPs with their defaults, or 0.03 below them where those are best.
BOUNDS = {
    "{name: digits}": 0.96,
    "{name: diabetes}": 0.37,
    "{name: synthetic_regression, function: linear}": 0.99,
    "{name: synthetic_regression, function: polynomial}": 0.96,
    "{name: synthetic_regression, function: sine}": 0.97,
    "{name: synthetic_regression, function: step}": 0.92,
    "{name: synthetic_regression, function: friedman1, in_features: 5}": 0.97,
    "{name: synthetic_classification}": 0.97,
    "{name: synthetic_classification, pattern: circles}": 0.96,
    "{name: synthetic_classification, pattern: blobs, n_classes: 3}": 0.99,
    "{name: synthetic_classification, pattern: spirals}": 0.91,
    "{name: synthetic_classification, pattern: spirals, n_classes: 3}": 0.83,
}


# Data in a config of two lines -> preset for the data.
PRESETS = {
    "{name: digits}": "digits",
    "{name: diabetes}": "diabetes",
    "{name: fashion_mnist}": "fashion_mnist_strong",
    "{name: synthetic_regression, function: linear}": "linear_regression",
    "{name: synthetic_regression, function: sine}": "sine_regression",
    "{name: synthetic_classification}": "moons",
}
SEEDS = 5


def two_lines(folder: Path, data: str) -> str:
    """Write a config of two lines and return its path."""
    task = "regression" if "regression" in data or "diabetes" in data else "classification"
    (folder / "config.yaml").write_text(f"task: {task}\ndata: {data}\n")
    return str(folder / "config.yaml")


def mean_result(config: str, overrides: list[str]) -> float:
    """Return the mean result of a config over several seeds."""
    return statistics.mean(
        final_result(load_config(config, [*overrides, f"seed={seed}"]).config) for seed in range(SEEDS)
    )


def final_result(config: Config) -> float:
    """Return the accuracy or R² of the best epoch on the test split."""
    experiment = build_experiment(config)
    fit = Fit(experiment.model, experiment.task, experiment.splits, config, report_seconds=60)
    best: dict[str, Any] = {}
    for event in fit:
        if isinstance(event, EpochEnded) and event.is_best:
            best = fit.parameters()
    experiment.model.load_state_dict(best)
    splits = experiment.splits
    metrics = evaluate_model(experiment.model, experiment.task, splits.test, splits.info.class_names)
    return float(metrics["accuracy" if config.task == "classification" else "r2"])


def sklearn_result(config: str) -> float:
    """Return the mean result of scikit-learn's MLP with its defaults on the splits of a config, over several seeds."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    results = []
    for seed in range(SEEDS):
        experiment = build_experiment(load_config(config, [f"seed={seed}"]).config)
        (inputs, targets), test = (
            (split.inputs.numpy(), split.targets.squeeze(-1).numpy() if split.targets.dim() > 1 else split.targets)
            for split in (experiment.splits.train, experiment.splits.test)
        )
        model = (MLPClassifier if experiment.config.task == "classification" else MLPRegressor)(random_state=seed)
        with warnings.catch_warnings(action="ignore"):  # not converged
            results.append(float(model.fit(inputs, targets).score(*test)))
    return statistics.mean(results)


@pytest.mark.parametrize(
    "data", [data if i % 2 else pytest.param(data, marks=pytest.mark.long) for i, data in enumerate(BOUNDS)]
)
def test_two_lines_learn_and_are_not_diagnosed_as_ill(clean_place: Path, data: str) -> None:
    config = load_config(two_lines(clean_place, data)).config
    run = dlcli.open_run(dlcli.train("config.yaml", ["plots=never"]))
    metrics = run.evaluate(baselines=False).metrics
    assert metrics["accuracy" if config.task == "classification" else "r2"] >= BOUNDS[data]
    assert [finding.statement for finding in run.diagnose().findings if finding.severity == "problem"] == []


def test_no_seed_gets_stuck_at_the_linear_solution(clean_place: Path) -> None:
    config = two_lines(clean_place, "{name: synthetic_classification}")
    results = [final_result(load_config(config, [f"seed={seed}"]).config) for seed in range(SEEDS)]
    assert min(results) > 0.95, "with half the learning rate, two of five reach 0.89"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("data", [*BOUNDS, "{name: fashion_mnist}"])
def test_two_lines_come_within_3_percent_of_the_preset_or_beat_scikit_learn_over_5_seeds(
    clean_place: Path, data: str, request: pytest.FixtureRequest
) -> None:
    roots = [f"data.root={request.getfixturevalue('fashion_root')}"] if "fashion" in data else []
    results = {"two lines": mean_result(two_lines(clean_place, data), roots)}
    if preset := PRESETS.get(data):
        results[preset] = mean_result(preset, roots)
    if not roots:  # scikit-learn takes minutes for Fashion-MNIST
        results["scikit-learn"] = sklearn_result(two_lines(clean_place, data))
    print(f"\n{data}: " + ", ".join(f"{name} {result:.3f}" for name, result in results.items()))
    theirs = results.get("scikit-learn", math.inf)
    assert results["two lines"] >= (min(0.97 * results[preset], theirs) if preset else 0.97 * theirs)


def test_a_run_that_is_no_better_than_guessing_says_so(clean_place: Path) -> None:
    result = dlcli.train("digits", ["model.init=zeros", "training.epochs=1"])
    assert result.warning is not None
    assert f"no better than guessing: val accuracy {result.val['accuracy']:.3f}" in result.warning
    assert f"`dlcli runs show {result.run} --diagnose`" in result.warning
    assert dlcli.train("digits", ["training.epochs=5"]).warning is None
    constant = dlcli.train("linear_regression", ["model.init=zeros", "optimizer.lr=1e-6", "training.epochs=1"])
    assert constant.warning is not None
    assert "val r2" in constant.warning
