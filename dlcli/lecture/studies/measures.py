"""Measurements inside a model: gradient norms, weight movement, distinct units and least squares."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.data.splits import Split, Splits
from dlcli.evaluation.regression import fit_least_squares
from dlcli.task import Task
from dlcli.training.evaluation import evaluate_split
from dlcli.training.trace import Tracer

_TOLERANCE = 1e-4  # tolerance relative to the largest weight; float32 rounding over thousands of steps stays well below


def weights_of(model: nn.Sequential) -> list[Tensor]:
    """Return a copy of each layer's weights, first to last, float64 on the CPU."""
    layers = (module for module in model if isinstance(module, nn.Linear))
    return [layer.weight.detach().to("cpu", copy=True).double() for layer in layers]


def gradient_norms(model: nn.Sequential, task: Task, splits: Splits) -> tuple[float, ...]:
    """Return the norm of the loss's gradient with respect to each layer's weights, on a fixed batch of train."""
    return tuple(layer.gradient_norm for layer in Tracer(model, task, splits).look().layers)


def score_by_chance(model: nn.Sequential, task: Task, splits: Splits, metric: str) -> float:
    """Return a validation metric of a constant prediction: the most frequent class, or the mean target, of train.

    Args:
        model: Model with any parameters, which ends in a linear layer; it is not changed.
        task: Task of the model.
        splits: Data, on the model's device.
        metric: Name of the metric.
    """
    constant, targets = copy.deepcopy(model), splits.train.targets
    last = next(module for module in reversed(constant) if isinstance(module, nn.Linear))
    counts = torch.bincount(targets, minlength=last.out_features) if targets.ndim == 1 else targets.double().mean(0)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(counts)
    return task.metrics(evaluate_split(constant, task, splits.val))[metric]


def relative_movement(before: list[Tensor], after: list[Tensor]) -> tuple[float | None, ...]:
    """Return ‖W − W₀‖ / ‖W₀‖ of each layer; None where W₀ is 0."""
    norms = [(float((w - w0).norm()), float(w0.norm())) for w0, w in zip(before, after, strict=True)]
    return tuple(moved / size if size else None for moved, size in norms)


def distinct_units(weights: list[Tensor]) -> tuple[int, ...]:
    """Return the number of units of each hidden layer with distinct incoming weights, up to rounding."""
    return tuple(_distinct_rows(weight) for weight in weights[:-1])


def _distinct_rows(weight: Tensor) -> int:
    largest = float(weight.abs().max())
    if largest == 0 or not np.isfinite(largest):
        return 1
    close = torch.cdist(weight, weight, p=torch.inf) <= _TOLERANCE * largest
    return int((close.int().argmax(1) == torch.arange(len(weight))).sum())


@dataclass(frozen=True)
class LinearSolution:
    """The parameters of the linear model with the least squared error on train.

    Attributes:
        weight: float64, shape (out_features, in_features).
        bias: float64, shape (out_features,).
    """

    weight: Tensor
    bias: Tensor

    def write_to(self, model: nn.Sequential) -> None:
        """Load these parameters into a linear model."""
        model.load_state_dict({"0.weight": self.weight, "0.bias": self.bias})

    def distance_of(self, model: nn.Sequential) -> float:
        """Return ‖θ − θ*‖ / ‖θ*‖, for the parameters θ of a linear model and these parameters θ*."""
        theta = torch.cat([parameter.detach().cpu().double().flatten() for parameter in model.parameters()])
        solution = torch.cat([self.weight.flatten(), self.bias])
        return float((theta - solution).norm() / solution.norm())


def solve_least_squares(train: Split) -> LinearSolution:
    """Return the least-squares solution on scaled inputs and targets."""
    solution = fit_least_squares(train.inputs, train.targets)
    return LinearSolution(solution.coefficients.T, solution.intercept)
