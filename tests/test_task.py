from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import sklearn.utils.class_weight
import torch
from torch.nn import functional as F  # noqa: N812

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import METRICS, CrossEntropyLoss, HuberLoss, L1Loss, MseLoss
from dlcli.data.scaling import Scaling
from dlcli.errors import ConfigError
from dlcli.task import Classification, Regression, Task

CROSS_ENTROPY, MSE = CrossEntropyLoss(name="cross_entropy"), MseLoss(name="mse")


def metrics_over(task: Task, outputs: torch.Tensor, targets: torch.Tensor, batch_size: int) -> dict[str, float]:
    total: dict[str, torch.Tensor] = {}
    for batch, truth in zip(outputs.split(batch_size), targets.split(batch_size), strict=True):
        total = {name: total.get(name, 0) + value for name, value in task.sums(batch, truth).items()}
    return task.metrics(total)


def test_losses_match_the_lectures_worked_examples() -> None:
    logits, label = torch.log(torch.tensor([[0.6, 0.4]])), torch.tensor([0])
    assert Classification(CROSS_ENTROPY, 2).loss(logits, label).item() == pytest.approx(-math.log(0.6))
    assert Classification(MSE, 2).loss(logits, label).item() == pytest.approx(0.32)


@pytest.mark.parametrize("batch_size", [7, 100])
def test_classification_metrics_match_scikit_learn_for_any_batch_size(batch_size: int) -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(100, 5), torch.randint(0, 4, (100,))  # class 4 never occurs
    outputs[:, 3] = -9  # class 3 is never predicted
    metrics = metrics_over(Classification(CROSS_ENTROPY, 5), outputs, labels, batch_size)
    preds = outputs.argmax(1)
    assert tuple(metrics) == METRICS["classification"]
    assert metrics["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(labels, preds))
    assert metrics["macro_f1"] == pytest.approx(
        sklearn.metrics.f1_score(labels, preds, average="macro", zero_division=0.0)
    )
    probs = outputs.double().softmax(1)
    assert metrics["loss"] == pytest.approx(sklearn.metrics.log_loss(labels, probs, labels=range(5)))


@pytest.mark.parametrize("batch_size", [7, 100])
def test_regression_metrics_match_scikit_learn_in_the_targets_unit(batch_size: int) -> None:
    torch.manual_seed(0)
    scaling = Scaling(torch.tensor([150.0, -3.0]).double(), torch.tensor([75.0, 0.5]).double())
    outputs, targets = torch.randn(100, 2), torch.randn(100, 2)
    metrics = metrics_over(Regression(MSE, scaling), outputs, targets, batch_size)
    truth, guess = scaling.invert(targets.double()), scaling.invert(outputs.double())
    assert tuple(metrics) == METRICS["regression"]
    assert metrics["mse"] == pytest.approx(sklearn.metrics.mean_squared_error(truth, guess))
    assert metrics["rmse"] == pytest.approx(math.sqrt(metrics["mse"]))
    assert metrics["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(truth, guess))
    assert metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(truth, guess))


def test_r2_of_a_constant_target_is_nan() -> None:
    targets = torch.ones(9, 1)
    assert math.isnan(metrics_over(Regression(MSE, Scaling.identity()), torch.zeros(9, 1), targets, 9)["r2"])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (MSE, F.mse_loss),
        (L1Loss(name="l1"), F.l1_loss),
        (HuberLoss(name="huber", delta=0.3), lambda a, b: F.huber_loss(a, b, delta=0.3)),
    ],
)
def test_reported_regression_loss_equals_the_training_loss(
    loss: MseLoss | L1Loss | HuberLoss, expected: object
) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(50, 3), torch.randn(50, 3)
    task = Regression(loss, Scaling.identity())
    value = expected(outputs, targets).item()  # type: ignore[operator]
    assert task.loss(outputs, targets).item() == value
    assert metrics_over(task, outputs, targets, 8)["loss"] == pytest.approx(value)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 4.0])])
def test_reported_cross_entropy_matches_torch_for_the_whole_split(
    smoothing: float, weights: torch.Tensor | None
) -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(50, 4), torch.randint(0, 4, (50,))
    task = Classification(CrossEntropyLoss(name="cross_entropy", label_smoothing=smoothing), 4, weights)
    expected = F.cross_entropy(outputs, labels, weights, label_smoothing=smoothing).item()
    assert task.loss(outputs, labels).item() == expected
    assert metrics_over(task, outputs, labels, 8)["loss"] == pytest.approx(expected)


def test_probabilities_sum_to_one() -> None:
    probs = Classification(CROSS_ENTROPY, 10).predictions(torch.randn(1000, 10) * 50)
    assert (probs.sum(1) - 1).abs().max() < 1e-12
    assert probs.min() >= 0


def test_balanced_class_weights_match_scikit_learn() -> None:
    experiment = build_experiment(load_config("digits", ["loss.class_weights=balanced"]).config)
    labels = experiment.splits.train.targets.numpy()
    expected = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.arange(10), y=labels)
    assert isinstance(experiment.task, Classification)
    torch.testing.assert_close(experiment.task._class_weights, torch.tensor(expected).float())


def test_wrong_number_of_class_weights_is_rejected() -> None:
    with pytest.raises(ConfigError, match="has 2 entries, digits has 10 classes"):
        build_experiment(load_config("digits", ["loss.class_weights=[1, 2]"]).config)


def test_class_weights_cached_in_inference_mode_work_with_autograd() -> None:
    task = Classification(CrossEntropyLoss(name="cross_entropy"), 3, torch.tensor([1.0, 2.0, 3.0]))
    outputs, labels = torch.zeros(3, 3, dtype=torch.float64), torch.arange(3)
    with torch.inference_mode():
        task.total_loss(outputs, labels)
    outputs.requires_grad_()
    task.loss(outputs, labels).backward()
    assert outputs.grad is not None


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, MSE])
def test_l1_head_divides_by_the_l1_norm(loss: CrossEntropyLoss | MseLoss) -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(50, 4, dtype=torch.float64), torch.randint(0, 4, (50,))
    probs = outputs.abs() / outputs.abs().sum(1, keepdim=True)
    task = Classification(loss, 4, head="l1")
    torch.testing.assert_close(task.predictions(outputs), probs)
    picked = probs[torch.arange(50), labels]
    squares = (probs - F.one_hot(labels, 4)).square().sum(1)
    expected = -picked.log().mean() if loss is CROSS_ENTROPY else squares.mean()
    assert task.loss(outputs, labels).item() == pytest.approx(expected.item())
    sums = task.sums(outputs, labels)
    assert task.metrics(sums)["loss"] == pytest.approx(expected.item())
    assert task.metrics(sums)["accuracy"] == (probs.argmax(1) == labels).double().mean()
