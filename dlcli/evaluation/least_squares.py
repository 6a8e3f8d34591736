"""Linear regression in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlcli.data.scaling import Scaling


@dataclass(frozen=True)
class LeastSquares:
    """ŷ = intercept + x · coefficients, the θ of least squared error.

    Attributes:
        intercept: float64, shape (out_features,).
        coefficients: float64, shape (in_features, out_features).
        rank: Of the inputs with a column of ones; where it is below in_features + 1, other θ are as good as this one.
    """

    intercept: Tensor
    coefficients: Tensor
    rank: int

    @property
    def is_unique(self) -> bool:
        """Whether no other θ has as small an error."""
        return self.rank == len(self.coefficients) + 1

    def predict(self, inputs: Tensor) -> Tensor:
        """Return ŷ of inputs (N, in_features), float64 of shape (N, out_features)."""
        return self.intercept + inputs.double() @ self.coefficients

    def undo_scaling(self, inputs: Scaling, targets: Scaling) -> LeastSquares:
        """Return the same function of inputs and of targets in their own units.

        ŷ = (y − m) / s and x̂ = (x − a) / b: y = m + s (θ₀ + Σ θᵢ (xᵢ − aᵢ) / bᵢ).
        """
        coefficients = self.coefficients / inputs.scale.unsqueeze(1) * targets.scale
        intercept = self.intercept * targets.scale + targets.shift
        shift = inputs.shift.expand(len(coefficients))
        return LeastSquares(intercept - shift @ coefficients, coefficients, self.rank)


def fit_least_squares(inputs: Tensor, targets: Tensor) -> LeastSquares:
    """Return the θ of least Σ (ŷ − y)², of which the lecture's (XᵀX)⁻¹ XᵀY is the formula.

    XᵀX squares the condition of X and with it the loss of digits, and has no inverse where a column depends on others.
    So columns are brought to mean 0 and standard deviation 1, and the singular values of the outcome solve for θ
    (Golub & Reinsch 1970); where many θ are as good, this is the shortest, in units of those standard deviations.

    Args:
        inputs: Shape (N, in_features).
        targets: Shape (N, out_features).
    """
    x, y = inputs.cpu().double(), targets.cpu().double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    spread = centred.square().mean(0).sqrt()
    is_constant = spread <= x_mean.abs() * len(x) * torch.finfo(torch.float64).eps  # what the mean's rounding leaves
    spread = torch.where(is_constant, torch.inf, spread)
    solution, _, rank, _ = np.linalg.lstsq((centred / spread).numpy(), (y - y_mean).numpy(), rcond=None)
    coefficients = torch.from_numpy(solution) / spread.unsqueeze(1)
    return LeastSquares(y_mean - x_mean @ coefficients, coefficients, int(rank) + 1)
