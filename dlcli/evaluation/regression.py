"""Regression metrics in the target's original unit, and linear regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
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
    # Subtracting an origin from all values avoids cancellation in the sums of squares.
    task, origin = Regression(MseLoss(name="mse"), Scaling.identity()), targets[:1]
    metrics = task.metrics(task.sums(outputs - origin, targets - origin))
    return {name: metrics[name] for name in ("mse", "rmse", "mae", "r2")}


def residual_quantiles(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the quantiles of target − output over all examples and outputs; keys are percentages ("50": median)."""
    quantiles = np.quantile((targets - outputs).numpy(), [percent / 100 for percent in _PERCENT])
    return {str(percent): value for percent, value in zip(_PERCENT, quantiles.tolist(), strict=True)}


def plain(values: Tensor) -> float | list[float]:
    """Return a number for one output, a list for several."""
    return values.item() if len(values) == 1 else values.tolist()


@dataclass(frozen=True)
class LeastSquares:
    """Linear function ŷ = intercept + x · coefficients with the least squared error.

    Attributes:
        intercept: float64, shape (out_features,).
        coefficients: float64, shape (in_features, out_features).
        rank: Rank of the inputs with a column of ones; if it is below in_features + 1, θ is not unique.
    """

    intercept: Tensor
    coefficients: Tensor
    rank: int

    @property
    def is_unique(self) -> bool:
        """Whether θ is the only minimum of the squared error."""
        return self.rank == len(self.coefficients) + 1

    def predict(self, inputs: Tensor) -> Tensor:
        """Return ŷ, float64 of shape (N, out_features), for inputs of shape (N, in_features)."""
        return self.intercept + inputs.double() @ self.coefficients

    def undo_scaling(self, inputs: Scaling, targets: Scaling) -> LeastSquares:
        """Return the same function for inputs and targets in their original units.

        With ŷ = (y − m) / s and x̂ = (x − a) / b, the function is y = m + s (θ₀ + Σ θᵢ (xᵢ − aᵢ) / bᵢ).
        """
        coefficients = self.coefficients / inputs.scale.unsqueeze(1) * targets.scale
        intercept = self.intercept * targets.scale + targets.shift
        shift = inputs.shift.expand(len(coefficients))
        return LeastSquares(intercept - shift @ coefficients, coefficients, self.rank)


def fit_least_squares(inputs: Tensor, targets: Tensor) -> LeastSquares:
    """Return the θ that minimizes Σ (ŷ − y)²; in exact arithmetic, it equals the lecture's (XᵀX)⁻¹ XᵀY.

    The condition number of XᵀX is the square of that of X, so that twice as many digits are lost, and XᵀX is singular
    if columns are linearly dependent. Therefore the columns are standardized, and θ is computed from the singular value
    decomposition (Golub & Reinsch 1970). If θ is not unique, the θ with the least norm, in units of the standard
    deviations, is returned.

    Args:
        inputs: Inputs, shape (N, in_features).
        targets: Targets, shape (N, out_features).
    """
    x, y = inputs.cpu().double(), targets.cpu().double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    spread = centred.square().mean(0).sqrt()
    is_constant = spread <= x_mean.abs() * len(x) * torch.finfo(torch.float64).eps  # rounding error of the mean
    spread = torch.where(is_constant, torch.inf, spread)
    solution, _, rank, _ = np.linalg.lstsq((centred / spread).numpy(), (y - y_mean).numpy(), rcond=None)
    coefficients = torch.from_numpy(solution) / spread.unsqueeze(1)
    return LeastSquares(y_mean - x_mean @ coefficients, coefficients, int(rank) + 1)
