"""Losses of several models at once, for devices on which only large operations are efficient.

The values equal `Task.loss_gradient`, `Task.total_loss` and `Task.weight` of each model up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from dlcli.config.schema import MseLoss
from dlcli.task.base import Task
from dlcli.task.classification import LEAST_OUTPUT, Classification
from dlcli.task.regression import Regression


class StackedLoss(Protocol):
    """Losses of several models on outputs (models, N, out_features) and labels (models, N) or values like outputs."""

    def gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write ∂loss/∂outputs of all models up to a common factor, and return the factor; see `Task.loss_gradient`."""

    def totals(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return `Task.total_loss` of each model: (models,)."""

    def weights(self, targets: Tensor) -> Tensor:
        """Return `Task.weight` of each model: (models,)."""


class StackedClassification:
    """Losses of classification, see `StackedLoss`; class weights and label smoothing may differ between the models."""

    def __init__(self, tasks: Sequence[Classification], like: Tensor) -> None:
        first, k = tasks[0], tasks[0].n_classes
        self._is_squared, self._is_l1 = isinstance(first.config, MseLoss), first.is_l1
        # Target probabilities of the true classes of all models: (models · k, k).
        self._targets = torch.cat([task.target_columns(like).t() for task in tasks])
        self._starts = torch.arange(0, len(self._targets), k, device=like.device).unsqueeze(1)
        weights = [task.weights(like.device, like.dtype) for task in tasks]
        self._weights: Tensor | None = None
        if any(part is not None for part in weights):
            self._weights = torch.cat([like.new_ones(k) if part is None else part for part in weights])

    def gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """See `StackedLoss.gradient`, and `Classification.loss_gradient` for the formulas."""
        probs, y = self._logits(outputs).softmax(-1), self._one_hot(targets)
        factor = 1 / targets.shape[1]
        if self._is_squared:
            errors = probs - y
            torch.mul(probs, errors.sub_((errors * probs).sum(-1, keepdim=True)), out=out)
            factor *= 2
        elif self._weights is None:
            torch.sub(probs, y, out=out)
        else:
            torch.sub(probs.mul_(y.sum(-1, keepdim=True)), y, out=out).div_(self.weights(targets).view(-1, 1, 1))
            factor = 1.0
        if self._is_l1:
            out.copy_(torch.where(outputs.abs() < LEAST_OUTPUT, 0.0, out / outputs))
        return factor

    def totals(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `StackedLoss.totals`."""
        logits, y = self._logits(outputs), self._one_hot(targets)
        losses = (logits.softmax(-1) - y).square() if self._is_squared else logits.log_softmax(-1).mul_(y).neg_()
        return losses.sum((1, 2))

    def weights(self, targets: Tensor) -> Tensor:
        """See `StackedLoss.weights`."""
        if self._weights is None:
            return _count(targets)
        return self._weights[targets + self._starts].sum(1)

    def _logits(self, outputs: Tensor) -> Tensor:
        return outputs.abs().clamp_min(LEAST_OUTPUT).log() if self._is_l1 else outputs

    def _one_hot(self, targets: Tensor) -> Tensor:
        """Return the target probabilities of the examples: (models, N, k)."""
        rows = (targets + self._starts).flatten()
        return self._targets.index_select(0, rows).view(*targets.shape, -1)


class StackedRegression:
    """Losses of regression, see `StackedLoss`; all models have the same loss."""

    def __init__(self, task: Regression) -> None:
        self._task = task

    def gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """See `StackedLoss.gradient`."""
        return self._task.loss_gradients(outputs, targets, out)

    def totals(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `StackedLoss.totals`."""
        return self._task.losses(outputs, targets).sum((1, 2)) / outputs.shape[-1]

    def weights(self, targets: Tensor) -> Tensor:
        """See `StackedLoss.weights`."""
        return _count(targets)


def _count(targets: Tensor) -> Tensor:
    return targets.new_full(targets.shape[:1], targets.shape[1], dtype=torch.int64)


def stack_losses(tasks: Sequence[Task], like: Tensor) -> StackedLoss:
    """Return the losses of all models.

    Args:
        tasks: Task of each model, with equal losses and heads apart from class weights and label smoothing.
        like: Tensor with the device and dtype of the outputs.
    """
    if isinstance(tasks[0], Regression):
        return StackedRegression(tasks[0])
    return StackedClassification(cast("Sequence[Classification]", tasks), like)
