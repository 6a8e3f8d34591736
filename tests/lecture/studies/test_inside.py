"""Measurements inside a model, compared with their definitions and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.data.splits import Split
from dlcli.lecture.studies.measures import distinct_units, relative_movement, solve_least_squares


def test_least_squares_equals_scikit_learns_at_distance_zero() -> None:
    from sklearn.linear_model import LinearRegression

    torch.manual_seed(0)
    inputs = torch.randn(50, 4)
    split = Split(inputs, inputs @ torch.randn(4, 1) + 3 + 0.1 * torch.randn(50, 1))
    solution = solve_least_squares(split)
    expected = LinearRegression().fit(split.inputs.numpy().astype(np.float64), split.targets.numpy())
    assert solution.weight.numpy() == pytest.approx(expected.coef_, abs=1e-6)
    assert solution.bias.numpy() == pytest.approx(expected.intercept_, abs=1e-6)
    model = nn.Sequential(nn.Linear(4, 1).double())
    solution.write_to(model)
    assert solution.distance_of(model) == pytest.approx(0, abs=1e-15)
    with torch.no_grad():
        model[0].bias.zero_()
        model[0].weight.zero_()
    assert solution.distance_of(model) == pytest.approx(1)


def test_units_with_the_same_weights_count_once() -> None:
    weight = torch.tensor([[1.0, 2.0], [1.0, 2.0 + 1e-7], [1.0, 2.1], [0.0, 0.0]])
    assert distinct_units([weight, torch.zeros(3, 4), torch.ones(2, 3)]) == (3, 1)


def test_movement_is_relative_and_undefined_from_zero() -> None:
    before = [torch.tensor([[3.0, 4.0]]), torch.zeros(1, 1), torch.ones(1, 1)]
    after = [torch.tensor([[3.0, 5.0]]), torch.ones(1, 1), torch.ones(1, 1)]
    assert relative_movement(before, after) == (0.2, None, 0.0)
