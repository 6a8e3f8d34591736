"""How well the validation split is told, by the model and by what has learned nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.data.splits import Split
from dlcli.runs.trained_run import TrainedRun

NEIGHBOURS = 5


@dataclass(frozen=True)
class Skill:
    """How well targets of the validation split are told.

    Attributes:
        score: Accuracy, or R².
        share: Of the way from the best constant answer, 0, to telling all of them, 1.
        sigmas: How many standard errors above chance.
    """

    score: float
    share: float
    sigmas: float


def measure_skill(run: TrainedRun, predictions: Tensor, split: Split, constant_score: float) -> Skill:
    """Return how well predictions, see `TrainedRun.predict`, tell a split.

    Args:
        run: Says what the truth is.
        predictions: Of the split.
        split: Of val.
        constant_score: Accuracy of the best constant answer; R² of it is taken as 0.
    """
    truth = run.truth(split)
    if run.info.task == "classification":
        return _accuracy_skill((predictions.argmax(1) == truth).double().mean().item(), constant_score, len(split))
    r2 = 1 - ((predictions - truth).square().sum() / (truth - truth.mean(0)).square().sum()).item()
    return Skill(r2, r2, _sigmas(_correlation(predictions, truth), len(split)))


def _accuracy_skill(accuracy: float, constant: float, count: int) -> Skill:
    spread = math.sqrt(max(constant * (1 - constant), 1 / count) / count)
    return Skill(accuracy, (accuracy - constant) / max(1 - constant, 1 / count), (accuracy - constant) / spread)


def ask_neighbours(run: TrainedRun, train: Split, val: Split, constant_score: float) -> Skill:
    """Return how well the nearest training examples do: they vote, or give the mean of their targets.

    For regression R² is the squared correlation, that of the best line through these means: the mean of five noisy
    targets has too much spread to be taken as it is.
    """
    nearest = torch.cdist(val.inputs, train.inputs).topk(min(NEIGHBOURS, len(train)), largest=False).indices
    targets, truth = train.targets[nearest].cpu(), val.targets.cpu()
    if run.info.task == "classification":
        accuracy = (targets.mode(1).values == truth).double().mean().item()
        return _accuracy_skill(accuracy, constant_score, len(val))
    correlation = _correlation(targets.double().mean(1), truth.double())
    r2 = max(0.0, correlation) ** 2
    return Skill(r2, r2, _sigmas(correlation, len(val)))


def _correlation(a: Tensor, b: Tensor) -> float:
    """Return the correlation; 0 where one of the two is constant."""
    if a.numel() < 2:
        return 0.0
    value = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()
    return value if math.isfinite(value) else 0.0


def _sigmas(correlation: float, count: int) -> float:
    """Return a correlation in standard errors (Fisher, 1915: atanh r has variance 1 / (n − 3))."""
    return math.atanh(max(-0.999999, min(0.999999, correlation))) * math.sqrt(max(count - 3, 0))
