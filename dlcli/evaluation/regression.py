"""Regression metrics in the target's original unit."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dlcli.config.schema import MseLoss
from dlcli.data.scaling import Scaling
from dlcli.task import Regression

_PERCENT = (0, 5, 25, 50, 75, 95, 100)


def regression_metrics(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return mse, rmse, mae and R², averaged over outputs as in `task.Regression`.

    Args:
        outputs: Predictions in the target's original unit, float64 of shape (N, out_features).
        targets: Targets of the same unit and shape. R² of a constant target is NaN.
    """
    task, origin = Regression(MseLoss(name="mse"), Scaling.identity()), targets[:1]  # avoids cancellation of squares
    metrics = task.metrics(task.sums(outputs - origin, targets - origin))
    return {name: metrics[name] for name in ("mse", "rmse", "mae", "r2")}


def residual_quantiles(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the quantiles of target − output over all examples and outputs; keys are percentages ("50": median)."""
    quantiles = np.quantile((targets - outputs).numpy(), [percent / 100 for percent in _PERCENT])
    return {str(percent): value for percent, value in zip(_PERCENT, quantiles.tolist(), strict=True)}


def plain(values: Tensor) -> float | list[float]:
    """Return a number for one output, a list for several."""
    return values.item() if len(values) == 1 else values.tolist()
