from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from dlcli.data.scaling import fit_scaling
from dlcli.evaluation.regression import fit_least_squares, regression_metrics, residual_quantiles

# Longley (1967), "An appraisal of least squares programs for the electronic computer from the point of view of the
# user"; certified values of the NIST Statistical Reference Datasets. Columns: y, x1 … x6.
_ROWS = """
    60323  83.0 234289 2356 1590 107608 1947    61122  88.5 259426 2325 1456 108632 1948
    60171  88.2 258054 3682 1616 109773 1949    61187  89.5 284599 3351 1650 110929 1950
    63221  96.2 328975 2099 3099 112075 1951    63639  98.1 346999 1932 3594 113270 1952
    64989  99.0 365385 1870 3547 115094 1953    63761 100.0 363112 3578 3350 116219 1954
    66019 101.2 397469 2904 3048 117388 1955    67857 104.6 419180 2822 2857 118734 1956
    68169 108.4 442769 2936 2798 120445 1957    66513 110.8 444546 4681 2637 121950 1958
    68655 112.6 482704 3813 2552 123366 1959    69564 114.2 502601 3931 2514 125368 1960
    69331 115.7 518173 4806 2572 127852 1961    70551 116.9 554894 4007 2827 130081 1962
"""
LONGLEY = np.array([float(word) for word in _ROWS.split()]).reshape(16, 7)
CERTIFIED = [
    -3482258.63459582,
    15.0618722713733,
    -0.0358191792925910,
    -2.02022980381683,
    -1.03322686717359,
    -0.0511041056535807,
    1829.15146461355,
]


def test_metrics_match_scikit_learn_and_numpy() -> None:
    for seed in range(200):
        check_metrics(seed)


def check_metrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, outputs = int(rng.choice([2, 3, 10, 100])), int(rng.choice([1, 3]))
    targets = rng.normal(rng.choice([0, 1e6]), rng.choice([1e-2, 1, 1e3]), (n, outputs))
    preds = targets if seed % 5 == 0 else targets + rng.normal(0, targets.std(), (n, outputs))
    metrics = regression_metrics(torch.tensor(preds), torch.tensor(targets))
    mse = sklearn.metrics.mean_squared_error(targets, preds)
    assert metrics["mse"] == pytest.approx(mse, rel=1e-6)
    assert metrics["rmse"] == pytest.approx(math.sqrt(mse), rel=1e-6)
    assert metrics["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(targets, preds), rel=1e-6)
    assert metrics["r2"] == pytest.approx(sklearn.metrics.r2_score(targets, preds), rel=1e-6)
    quantiles = residual_quantiles(torch.tensor(preds), torch.tensor(targets))
    assert list(quantiles) == ["0", "5", "25", "50", "75", "95", "100"]
    assert list(quantiles.values()) == pytest.approx(np.percentile(targets - preds, [0, 5, 25, 50, 75, 95, 100]))


@pytest.mark.parametrize("n", [1, 2, 50])
def test_a_constant_target_has_errors_but_no_r2(n: int) -> None:
    targets = torch.full((n, 1), 0.1).double()
    metrics = regression_metrics(targets + 2, targets)
    assert (metrics["mse"], metrics["mae"]) == (pytest.approx(4), pytest.approx(2))
    assert math.isnan(metrics["r2"])
    assert residual_quantiles(targets + 2, targets)["50"] == pytest.approx(-2)


def longley() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(LONGLEY[:, 1:]), torch.tensor(LONGLEY[:, :1])


def test_longley_coefficients_match_the_certified_values() -> None:
    inputs, targets = longley()
    fit = fit_least_squares(inputs, targets)
    assert [fit.intercept.item(), *fit.coefficients.flatten().tolist()] == pytest.approx(CERTIFIED, rel=1e-9)
    assert fit.rank == 7
    assert fit.is_unique
    residual_sd = ((targets - fit.predict(inputs)).square().sum() / 9).sqrt().item()
    assert residual_sd == pytest.approx(304.854073561965, rel=1e-9)


@pytest.mark.parametrize("how", ["standard", "unit", "symmetric", "none"])
def test_scaling_is_undone_in_the_coefficients(how: str) -> None:
    inputs, targets = longley()
    input_scaling = fit_scaling(inputs, how, jointly=False)  # type: ignore[arg-type]
    target_scaling = fit_scaling(targets, how, jointly=False)  # type: ignore[arg-type]
    scaled = fit_least_squares(input_scaling.apply(inputs), target_scaling.apply(targets))
    fit = scaled.undo_scaling(input_scaling, target_scaling)
    assert [fit.intercept.item(), *fit.coefficients.flatten().tolist()] == pytest.approx(CERTIFIED, rel=1e-7)
    from_scaled = target_scaling.invert(scaled.predict(input_scaling.apply(inputs)))
    torch.testing.assert_close(fit.predict(inputs), from_scaled, rtol=1e-9, atol=0)


def test_a_joint_scaling_is_undone_in_the_coefficients() -> None:
    inputs, targets = longley()
    scaling = fit_scaling(inputs, "standard", jointly=True)
    fit = fit_least_squares(scaling.apply(inputs), targets).undo_scaling(
        scaling, fit_scaling(targets, "none", jointly=False)
    )
    assert fit.coefficients.flatten().tolist() == pytest.approx(CERTIFIED[1:], rel=1e-6)


def test_dependent_columns_do_not_change_predictions() -> None:
    inputs, targets = longley()
    fit = fit_least_squares(inputs, targets)
    constant = torch.full((16, 1), 0.1, dtype=torch.float64)
    for more in (inputs[:, :1], 3 * inputs[:, 1:2] - 5, constant, inputs[:, :1] + inputs[:, 4:5]):
        wider = torch.cat([inputs, more], 1)
        wider_fit = fit_least_squares(wider, targets)
        assert wider_fit.rank == 7
        assert not wider_fit.is_unique
        assert wider_fit.coefficients.isfinite().all()
        torch.testing.assert_close(wider_fit.predict(wider), fit.predict(inputs), rtol=1e-9, atol=0)
    twice = fit_least_squares(torch.cat([inputs, inputs[:, 2:3]], 1), targets).coefficients
    assert twice[2].item() == pytest.approx(twice[6].item(), rel=1e-6), "the θ of least norm splits evenly"
    assert twice[2].item() == pytest.approx(CERTIFIED[3] / 2, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_several_outputs_are_fitted_and_few_examples_interpolated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets = rng.normal(2, 3, (40, 4)), rng.normal(size=(40, 3))
    fit = fit_least_squares(torch.tensor(inputs), torch.tensor(targets))
    expected = np.linalg.lstsq(np.column_stack([np.ones(40), inputs]), targets, rcond=None)[0]
    np.testing.assert_allclose(torch.cat([fit.intercept[None], fit.coefficients]).numpy(), expected, rtol=1e-8)
    few = fit_least_squares(torch.tensor(inputs[:3]), torch.tensor(targets[:3]))
    assert few.rank == 3
    torch.testing.assert_close(few.predict(torch.tensor(inputs[:3])), torch.tensor(targets[:3]))
