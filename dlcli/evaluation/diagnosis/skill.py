"""Skill of a model and of simple models beside it: nearest neighbours and least squares."""

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
    """Quality of predictions on the monitored split.

    Attributes:
        score: Accuracy, or R².
        fraction_explained: Score rescaled so that the best constant prediction has 0 and a perfect prediction 1.
        sigmas: Number of standard errors above chance.
    """

    score: float
    fraction_explained: float
    sigmas: float


def measure_model_skill(run: TrainedRun, predictions: Tensor, split: Split, constant_score: float) -> Skill:
    """Measure the skill of predictions from `TrainedRun.predict`; for R², the best constant prediction has score 0."""
    truth = run.truth(split)
    if run.info.task == "classification":
        return _accuracy_skill((predictions.argmax(1) == truth).double().mean().item(), constant_score, len(split))
    r2 = 1 - ((predictions - truth).square().sum() / (truth - truth.mean(0)).square().sum()).item()
    return Skill(r2, r2, _sigmas(_correlation(predictions, truth), len(split)))


def _accuracy_skill(accuracy: float, constant: float, count: int) -> Skill:
    spread = math.sqrt(max(constant * (1 - constant), 1 / count) / count)
    return Skill(accuracy, (accuracy - constant) / max(1 - constant, 1 / count), (accuracy - constant) / spread)


def measure_knn_skill(run: TrainedRun, train: Split, val: Split, constant_score: float) -> Skill:
    """Measure the skill of the nearest training examples: their majority vote, or the mean of their targets.

    For regression, R² is the squared correlation, that is the R² of the best linear function of these means: a mean of
    five noisy targets varies too much to be used directly. Without a validation split, `val` is a part of `train`, and
    the nearest neighbour of each example, which is the example itself, is left out.
    """
    skipped = 0 if len(run.splits.val) else 1
    nearest = torch.cdist(val.inputs, train.inputs).topk(min(_NEIGHBOURS + skipped, len(train)), largest=False).indices
    nearest = nearest[:, skipped:]
    targets, truth = train.targets[nearest].cpu(), val.targets.cpu()
    if run.info.task == "classification":
        accuracy = (targets.mode(1).values == truth).double().mean().item()
        return _accuracy_skill(accuracy, constant_score, len(val))
    correlation = _correlation(targets.double().mean(1), truth.double())
    r2 = max(0.0, correlation) ** 2
    return Skill(r2, r2, _sigmas(correlation, len(val)))


def compare_with_linear_model(
    run: TrainedRun, train: Split, val: Split, predictions: Tensor, constant_score: float
) -> tuple[Skill, float]:
    """Return the skill of least squares, and how much larger its mean error is than the model's, in standard errors.

    For classes, the targets of least squares are 1 for the class of an example and 0 for the others, and the error of
    an example is 0 or 1; for values, it is the squared error. The standard error is that of paired differences.
    """
    inputs, truth = val.inputs.cpu().double(), val.targets.cpu()
    if run.info.task == "classification":
        classes = torch.nn.functional.one_hot(train.targets.cpu(), run.info.out_features)
        correct = fit_least_squares(train.inputs, classes).predict(inputs).argmax(1) == truth
        model_correct = predictions.cpu().argmax(1) == truth
        skill = _accuracy_skill(correct.double().mean().item(), constant_score, len(val))
        return skill, _paired_sigmas(model_correct.double() - correct.double())
    outputs = fit_least_squares(train.inputs, run.truth(train)).predict(inputs)
    truth = run.truth(val).cpu().double()
    errors, model_errors = ((values.cpu().double() - truth).square().mean(1) for values in (outputs, predictions))
    r2 = 1 - (errors.sum() * truth.shape[1] / (truth - truth.mean(0)).square().sum()).item()
    return Skill(r2, r2, _sigmas(_correlation(outputs, truth), len(val))), _paired_sigmas(errors - model_errors)


def _paired_sigmas(differences: Tensor) -> float:
    error = (differences.std() / math.sqrt(len(differences))).item() if len(differences) > 1 else math.inf
    return differences.mean().item() / error if error > 0 else 0.0


def _correlation(a: Tensor, b: Tensor) -> float:
    """Return the Pearson correlation; 0 if a tensor is constant."""
    if a.numel() < 2:
        return 0.0
    value = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()
    return value if math.isfinite(value) else 0.0


def _sigmas(correlation: float, count: int) -> float:
    """Convert a correlation to standard errors (Fisher, 1915: atanh r has variance 1 / (n − 3))."""
    return math.atanh(max(-0.999999, min(0.999999, correlation))) * math.sqrt(max(count - 3, 0))
