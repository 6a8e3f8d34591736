from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sklearn.dummy
import sklearn.linear_model
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.data.splits import Split
from dlcli.evaluation.baselines import (
    Baseline,
    describe_against_baselines,
    fit_logistic_regression,
    majority_class,
    regression_baselines,
)
from dlcli.runs.trained_run import SplitName, TrainedRun


def make_run(preset: str, *overrides: str, split: SplitName = "test") -> TrainedRun:
    """Return a run that has not been trained."""
    experiment = build_experiment(load_config(preset, overrides).config)
    return TrainedRun(
        "here", experiment.config, (), {}, experiment.splits, experiment.model, experiment.task, 1, "finished", split
    )


def with_train(run: TrainedRun, train: Split) -> TrainedRun:
    return replace(run, splits=replace(run.splits, train=train))


@pytest.mark.parametrize("split", ["val", "test"])
def test_majority_class_matches_scikit_learn_dummy_classifier(split: SplitName) -> None:
    run = make_run("digits", split=split)
    train, examples = run.splits.train, run.split
    dummy = sklearn.dummy.DummyClassifier(strategy="prior").fit(train.inputs, train.targets)
    baseline = majority_class(run)
    assert baseline.record["class"] == str(dummy.predict(examples.inputs)[0])
    assert baseline.metrics["accuracy"] == pytest.approx(dummy.score(examples.inputs, examples.targets))
    truth = dummy.predict_proba(examples.inputs)[range(len(examples)), examples.targets]
    assert baseline.metrics["log_loss"] == pytest.approx(-np.log(truth).mean())


def test_logistic_regression_is_as_good_as_a_fully_converged_fit() -> None:
    for preset, overrides in (("moons", ()), ("digits", ("training.precision=float64",))):
        run = make_run(preset, *overrides)
        train, test = run.splits.train, run.splits.test
        reference = sklearn.linear_model.LogisticRegression(C=1e3 / len(train), max_iter=10_000, tol=1e-4)
        reference.fit(train.inputs.double(), train.targets)
        metrics = fit_logistic_regression(run)
        assert metrics["accuracy"] == pytest.approx(reference.score(test.inputs.double(), test.targets), abs=0.01)
        truth = reference.predict_proba(test.inputs.double())[range(len(test)), test.targets]
        assert metrics["log_loss"] == pytest.approx(-np.log(truth).mean(), rel=0.05)


def test_logistic_regression_gives_no_probability_to_a_class_missing_in_train() -> None:
    run = make_run("digits")
    train = run.splits.train
    without_fours = fit_logistic_regression(with_train(run, train.select((train.targets != 4).nonzero().flatten())))
    complete = fit_logistic_regression(run)
    assert complete["accuracy"] - 0.13 < without_fours["accuracy"] < complete["accuracy"] - 0.08, "all but the fours"
    assert without_fours["log_loss"] > 3, "−ln 2.2e-16 for every tenth"
    single = fit_logistic_regression(with_train(run, train.select((train.targets == 4).nonzero().flatten())))
    assert single["accuracy"] == pytest.approx((run.splits.test.targets == 4).double().mean().item())


def test_diabetes_baselines_match_scikit_learn_on_raw_features() -> None:
    run = make_run("diabetes", split="val")
    train, val = run.splits.train, run.splits.val
    mean, least_squares = regression_baselines(run)
    raw, truth = (run.inputs(val).numpy(), run.truth(val).numpy())
    model = sklearn.linear_model.LinearRegression().fit(run.inputs(train).numpy(), run.truth(train).numpy())
    learned = least_squares.record
    assert learned["intercept"] == pytest.approx(model.intercept_[0], rel=1e-4)
    assert list(learned["coefficients"].values()) == pytest.approx(list(model.coef_[0]), rel=1e-4)
    assert list(learned["coefficients"]) == list(run.info.feature_names)
    assert learned["rank"] == 11
    by_hand = learned["intercept"] + raw @ np.array(list(learned["coefficients"].values()))
    assert learned["metrics"]["rmse"] == pytest.approx(np.sqrt(((by_hand - truth[:, 0]) ** 2).mean()))
    assert learned["metrics"]["r2"] == pytest.approx(model.score(raw, truth), rel=1e-4)
    assert mean.record["value"] == pytest.approx(run.truth(train).mean().item())
    assert mean.metrics["mae"] == pytest.approx(abs(truth - mean.record["value"]).mean())


def test_linear_model_is_compared_with_the_least_squares_coefficients() -> None:
    run = make_run("diabetes", "model.hidden_sizes=[]")
    weight, bias = (parameter.data for parameter in run.model.parameters())
    train = run.splits.train
    columns = torch.cat([torch.ones(len(train), 1), train.inputs], 1).double()
    theta = torch.linalg.pinv(columns) @ train.targets.double()
    for change in (0.0, 0.25):
        bias[:], weight[:] = theta[0], theta[1:].t()
        weight[0, 3] += change
        (comparison,) = (
            baseline.record["sgd"] for baseline in regression_baselines(run) if baseline.name == "least_squares"
        )
        assert comparison["coefficient_difference"] == pytest.approx(change / theta.abs().max().item(), abs=1e-5)
        increase = (run.truth(train).std(correction=0) * change) ** 2  # a standardised input of variance 1
        assert comparison["train_mse"] - comparison["least_squares_train_mse"] == pytest.approx(
            increase.item(), rel=1e-3, abs=0.01
        )


def test_networks_and_dependent_inputs_have_no_coefficient_difference() -> None:
    network = make_run("diabetes")
    linear = make_run("diabetes", "model.hidden_sizes=[]")
    train = linear.splits.train
    inputs = train.inputs.clone()
    inputs[:, 1] = inputs[:, 0]
    for run, rank in ((network, 11), (with_train(linear, Split(inputs, train.targets)), 10)):
        _, least_squares = regression_baselines(run)
        assert least_squares.record["rank"] == rank
        assert least_squares.record["sgd"]["coefficient_difference"] is None
        assert least_squares.record["sgd"]["train_mse"] > least_squares.record["sgd"]["least_squares_train_mse"]


@pytest.mark.parametrize("function", ["linear", "sine", "step", "friedman1"])
def test_noise_floor_is_the_rmse_of_the_true_function(function: str) -> None:
    changes = (f"data.function={function}", "data.in_features=5", "data.n_samples=4000", "data.noise=0.3")
    run = make_run("linear_regression", *changes)
    rmse = {baseline.name: baseline.metrics["rmse"] for baseline in regression_baselines(run)}
    assert rmse["noise_floor"] == pytest.approx(0.3, rel=0.05)
    assert rmse["noise_floor"] < rmse["mean"]
    assert (rmse["least_squares"] == pytest.approx(rmse["noise_floor"], rel=0.01)) is (function == "linear")


def test_sentences_report_above_below_and_level() -> None:
    metrics = {"accuracy": 0.85, "accuracy_interval": [0.84, 0.86]}
    baselines = [
        Baseline("majority_class", "always predicting Bag", {"accuracy": 0.1}),
        Baseline("logistic_regression", "logistic regression", {"accuracy": 0.8445}),
        Baseline("other", "an oracle", {"accuracy": 0.9}),
    ]
    assert describe_against_baselines(metrics, baselines) == [
        "accuracy 0.8500 is 0.0500 below an oracle (0.9000), level with logistic regression (0.8445, inside the 95 % "
        "interval) and 0.7500 above always predicting Bag (0.1000)"
    ]
    sgd = {"coefficient_difference": 0.0123, "train_mse": 2.5, "least_squares_train_mse": 2.25}
    baselines = [
        Baseline("mean", "always predicting the mean", {"rmse": 77.25}),
        Baseline("least_squares", "least squares", {"rmse": 54.1}, {"sgd": sgd}),
        Baseline("noise_floor", "the noise floor", {"rmse": 0.0}),
    ]
    assert describe_against_baselines({"rmse": 54.0}, baselines, unit="points") == [
        "rmse 54 points is 54 worse than the noise floor (0), level with least squares (54.1) and 23.2 better than "
        "always predicting the mean (77.25)",
        "the coefficients differ from the least-squares solution by up to 1.2 % of the largest coefficient; "
        "the training mse is 2.5, compared with 2.25 for least squares",
    ]
    assert describe_against_baselines(metrics, []) == []
