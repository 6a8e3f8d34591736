"""The default settings learn every data source: a config of two lines ends near the best result for its data."""

from __future__ import annotations

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
from dlcli.experiment import Experiment
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


def two_lines(folder: Path, data: str, seed: int) -> Config:
    task = "regression" if "regression" in data or "diabetes" in data else "classification"
    (folder / "config.yaml").write_text(f"task: {task}\ndata: {data}\n")
    return load_config(folder / "config.yaml", [f"seed={seed}"]).config


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


def sklearn_result(experiment: Experiment, seed: int) -> float:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    model = (MLPClassifier if experiment.config.task == "classification" else MLPRegressor)(random_state=seed)
    train, test = (
        (split.inputs.numpy(), split.targets.squeeze(-1).numpy())
        if split.targets.dim() > 1
        else (split.inputs.numpy(), split.targets.numpy())
        for split in (experiment.splits.train, experiment.splits.test)
    )
    with warnings.catch_warnings(action="ignore"):  # not converged
        return float(model.fit(*train).score(*test))


@pytest.mark.parametrize("data", BOUNDS)
def test_two_lines_learn_and_are_not_diagnosed_as_ill(clean_place: Path, data: str) -> None:
    config = two_lines(clean_place, data, seed=0)
    run = dlcli.open_run(dlcli.train("config.yaml", ["plots=never"]))
    metrics = run.evaluate(baselines=False).metrics
    assert metrics["accuracy" if config.task == "classification" else "r2"] >= BOUNDS[data]
    assert [finding.statement for finding in run.diagnose().findings if finding.severity == "problem"] == []


@pytest.mark.long
@pytest.mark.parametrize("data", BOUNDS)
def test_two_lines_come_within_3_percent_of_scikit_learn_over_5_seeds(tmp_path: Path, data: str) -> None:
    configs = [two_lines(tmp_path, data, seed) for seed in range(5)]
    ours = statistics.mean(final_result(config) for config in configs)
    theirs = statistics.mean(sklearn_result(build_experiment(config), config.seed) for config in configs)
    print(f"{data}: {ours:.3f}, scikit-learn {theirs:.3f}")
    assert ours >= 0.97 * theirs


def test_a_run_that_is_no_better_than_guessing_says_so(clean_place: Path) -> None:
    result = dlcli.train("digits", ["model.init=zeros", "training.epochs=1"])
    assert result.warning is not None
    assert f"no better than guessing: val accuracy {result.val['accuracy']:.3f}" in result.warning
    assert f"`dlcli runs show {result.run} --diagnose`" in result.warning
    assert dlcli.train("digits", ["training.epochs=5"]).warning is None
    constant = dlcli.train("linear_regression", ["model.init=zeros", "optimizer.lr=1e-6", "training.epochs=1"])
    assert constant.warning is not None
    assert "val r2" in constant.warning
