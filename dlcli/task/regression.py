"""Regression with squared, absolute or Huber error."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # as all of torch's users write it

from dlcli.config.schema import HuberLoss, L1Loss, MseLoss
from dlcli.data.scaling import Scaling
from dlcli.task.base import Task, accurate, on_cpu


class Regression(Task):
    """Regression on scaled targets; predictions and metrics are in the target's unit.

    Args:
        loss: Squared, absolute or Huber error of the scaled target.
        target_scaling: Scaling of the targets.
    """

    def __init__(self, loss: MseLoss | L1Loss | HuberLoss, target_scaling: Scaling) -> None:
        self._config = loss
        self._scaling = target_scaling

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over examples and outputs, in the scaled unit."""
        return self._loss(outputs, targets, "mean")

    def loss_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """Write ŷ − y, sign(ŷ − y), or ŷ − y clamped to ±δ; return 1 / n, or 2 / n for squared error, for n values."""
        return self._write_gradient(outputs, targets, out) / out.numel()

    def same_loss(self, other: Task) -> bool:
        """See `Task.same_loss`."""
        return isinstance(other, Regression) and other._config == self._config

    def loss_gradients(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        """See `Task.loss_gradients`. Each operation is exact or correctly rounded, so the bits cannot differ."""
        return self._write_gradient(outputs, targets, out) / out[0].numel()

    def _write_gradient(self, outputs: Tensor, targets: Tensor, out: Tensor) -> float:
        torch.sub(outputs, targets, out=out)
        match self._config:
            case MseLoss():
                return 2.0
            case L1Loss():
                out.sign_()
            case HuberLoss(delta=delta):
                out.clamp_(-delta, delta)
        return 1.0

    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over examples of the mean loss over outputs, in the scaled unit."""
        return self._loss(outputs, targets, "sum") / outputs.shape[1]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each value, in the scaled unit."""
        return self._loss(outputs, targets, "none")

    def _loss(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        match self._config:
            case MseLoss():
                return F.mse_loss(outputs, targets, reduction=reduction)
            case L1Loss():
                return F.l1_loss(outputs, targets, reduction=reduction)
            case HuberLoss(delta=delta):
                return F.huber_loss(outputs, targets, reduction=reduction, delta=delta)

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, the number of examples, and per output the sums of errors, targets and squared targets.

        All are in the scaled unit. The errors are squared and absolute errors.
        """
        errors, truth = accurate(outputs - targets), accurate(targets)
        return {
            "loss": accurate(self.total_loss(outputs, targets)),
            "count": self.weight(targets, outputs.dtype),
            "squared": errors.square().sum(0),
            "absolute": errors.abs().sum(0),
            "target": truth.sum(0),
            "target_squared": truth.square().sum(0),
        }

    def metrics(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Return the loss in the scaled unit and errors in the target's unit, averaged over outputs.

        R² is 1 − SSE / SST, and NaN for a constant target.
        """
        sums = on_cpu(sums)
        n, scale = sums["count"], self._scaling.scale
        spread = sums["target_squared"] - sums["target"].square() / n
        mse = (sums["squared"] / n * scale.square()).mean()
        r2 = torch.where(spread > 0, 1 - sums["squared"] / spread, torch.nan)
        return {
            "loss": (sums["loss"] / n).item(),
            "mse": mse.item(),
            "rmse": mse.sqrt().item(),
            "mae": (sums["absolute"] / n * scale).mean().item(),
            "r2": r2.mean().item(),
        }

    def constant_score(self, train_targets: Tensor, targets: Tensor) -> tuple[str, float]:
        """Return the R² of always predicting the mean, at most 0, plus 0.05."""
        mean = train_targets.double().mean(0).expand_as(targets).to(targets)
        return "r2", self.metrics(self.sums(mean, targets))["r2"] + 0.05

    def predictions(self, outputs: Tensor) -> Tensor:
        """Return the outputs in the target's unit."""
        return self._scaling.invert(outputs.cpu().double())

    def truth(self, targets: Tensor) -> Tensor:
        """Return the targets in their unit."""
        return self.predictions(targets)
