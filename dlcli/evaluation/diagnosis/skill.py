"""Skill of a model and, for comparison, of nearest neighbours and least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.data.splits import Split
from dlcli.evaluation.regression import fit_least_squares
from dlcli.runs.trained_run import TrainedRun

_NEIGHBOURS = 5


@dataclass(frozen=True)
class Skill:
    """Quality of predictions on a split.

    Attributes:
        score: Accuracy, or R².
        fraction_explained: Score rescaled so that the best constant prediction has 0 and a perfect prediction 1.
        sigmas: Number of standard errors above chance.
    """

    score: float
    fraction_explained: float
    sigmas: float


def measure_model_skill(run: TrainedRun, predictions: Tensor, split: Split, constant_score: float) -> Skill:
    """Measure the skill of predictions in the form that `TrainedRun.predict` returns.

    Regression ignores `constant_score`: the best constant prediction has an R² of 0.
    """
    truth = run.truth(split)
    if run.info.task == "classification":
        return _accuracy_skill((predictions.argmax(1) == truth).double().mean().item(), constant_score, len(split))
    r2 = 1 - ((predictions - truth).square().sum() / (truth - truth.mean(0)).square().sum()).item()
    return Skill(r2, r2, _sigmas(_correlation(predictions, truth), len(split)))


def _accuracy_skill(accuracy: float, constant: float, count: int) -> Skill:
    spread = math.sqrt(max(constant * (1 - constant), 1 / count) / count)
    return Skill(accuracy, (accuracy - constant) / max(1 - constant, 1 / count), (accuracy - constant) / spread)


def measure_knn_skill(run: TrainedRun, train: Split, split: Split, constant_score: float, *, in_train: bool) -> Skill:
    """Measure the skill of the nearest training examples: their majority vote, or the mean of their targets.

    For regression, the score is the squared correlation of these means with the true targets, which is the R² of the
    best linear function of the means. A mean of five noisy targets varies too much to be used as a prediction.

    Args:
        run: The run.
        train: Examples among which the neighbours are searched.
        split: Examples to predict.
        constant_score: Accuracy of the best constant prediction on `split`.
        in_train: Whether `split` is a part of `train`; if so, the nearest neighbour, the example itself, is ignored.
    """
    skipped = 1 if in_train else 0
    nearest = (
        torch.cdist(split.inputs, train.inputs).topk(min(_NEIGHBOURS + skipped, len(train)), largest=False).indices
    )
    nearest = nearest[:, skipped:]
    targets, truth = train.targets[nearest].cpu(), split.targets.cpu()
    if run.info.task == "classification":
        accuracy = (targets.mode(1).values == truth).double().mean().item()
        return _accuracy_skill(accuracy, constant_score, len(split))
    correlation = _correlation(targets.double().mean(1), truth.double())
    r2 = max(0.0, correlation) ** 2
    return Skill(r2, r2, _sigmas(correlation, len(split)))


def measure_linear_skill(run: TrainedRun, train: Split, val: Split, constant_score: float) -> Skill:
    """Measure the skill of least squares; for classification, the targets are one-hot vectors."""
    inputs = val.inputs.cpu().double()
    if run.info.task == "classification":
        classes = torch.nn.functional.one_hot(train.targets.cpu(), run.info.out_features)
        outputs = fit_least_squares(train.inputs, classes).predict(inputs)
    else:
        outputs = fit_least_squares(train.inputs, run.truth(train)).predict(inputs)
    return measure_model_skill(run, outputs, val, constant_score)


def _correlation(a: Tensor, b: Tensor) -> float:
    """Return the Pearson correlation; 0 if a tensor is constant or has fewer than two values."""
    if a.numel() < 2:
        return 0.0
    value = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()
    return value if math.isfinite(value) else 0.0


def _sigmas(correlation: float, count: int) -> float:
    """Convert a correlation to standard errors (Fisher, 1915: atanh r has variance 1 / (n − 3))."""
    return math.atanh(max(-0.999999, min(0.999999, correlation))) * math.sqrt(max(count - 3, 0))
