from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
import torch

from dlcli.evaluation.regression import regression_metrics, residual_quantiles


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
