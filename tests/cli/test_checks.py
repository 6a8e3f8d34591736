"""The options `--fail-under` and `--fail-over` of `dlcli eval`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from conftest import Finished

from dlcli.cli.checks import Bound, Check


@pytest.fixture
def diabetes(dlcli: Callable[..., Finished]) -> Callable[..., Finished]:
    """Return a function that evaluates a run with an rmse between 40 and 90."""
    assert dlcli("train", "-c", "diabetes", "training.epochs=5", "--quiet").code == 0
    return lambda *arguments: dlcli("eval", "--no-baselines", *arguments)


def test_all_bounds_are_checked_and_listed_in_json(diabetes: Callable[..., Finished]) -> None:
    bounds = ["--fail-over", "rmse=90", "--fail-over", "rmse=40", "--fail-under", "r2=-9", "--fail-under", "r2=0.99"]
    done = diabetes("--json", *bounds)
    result = json.loads(done.out)
    rmse, r2 = result["metrics"]["rmse"], result["metrics"]["r2"]
    assert done.code == 6
    assert result["checks"] == [
        {"metric": "r2", "value": r2, "bound": -9.0, "ok": True},
        {"metric": "r2", "value": r2, "bound": 0.99, "ok": False},
        {"metric": "rmse", "value": rmse, "bound": 90.0, "ok": True},
        {"metric": "rmse", "value": rmse, "bound": 40.0, "ok": False},
    ]
    message = f"r2 {r2:.4f} is below 0.99; rmse {rmse:.4f} is above 40"
    assert done.err == f"error: {message}\n"
    assert (result["error"]["code"], result["error"]["message"]) == (6, message)
    met = diabetes("--json", "--fail-over", "rmse=90")
    assert (met.code, "error" in json.loads(met.out)) == (0, False)


def test_scalars_are_the_metrics_that_are_one_number(diabetes: Callable[..., Finished]) -> None:
    result = json.loads(diabetes("--json").out)
    assert set(result["scalars"]) == {"loss", "mse", "rmse", "mae", "r2"}
    assert result["scalars"].items() <= result["metrics"].items()
    assert result["checks"] == []


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "macro_precision", "macro_recall", "r2"])
def test_fail_over_refuses_metrics_where_higher_is_better(dlcli: Callable[..., Finished], metric: str) -> None:
    refused = dlcli("eval", "--fail-over", f"{metric}=0.5")
    assert (refused.code, refused.out) == (2, "")
    assert f"--fail-over cannot check {metric}: higher is better" in refused.err
    assert f"use `--fail-under {metric}=0.5`" in refused.err


@pytest.mark.parametrize("metric", ["loss", "mse", "rmse", "mae", "log_loss", "brier_score", "ece"])
def test_fail_under_refuses_errors_and_names_the_other_option(dlcli: Callable[..., Finished], metric: str) -> None:
    refused = dlcli("eval", "--fail-under", f"{metric}=0.5")
    assert refused.code == 2
    assert f"use `--fail-over {metric}=0.5`" in refused.err


def test_fail_over_refuses_text_and_unknown_metrics(diabetes: Callable[..., Finished]) -> None:
    for text in ("rmse", "rmse=", "rmse=nan", "rmse=x"):
        assert f"--fail-over '{text}' is not METRIC=VALUE" in diabetes("--fail-over", text).err
    refused = diabetes("--fail-over", "ece=1", "--json")
    assert (refused.code, json.loads(refused.out)["error"]["hints"]) == (2, ["choose one of loss, mse, rmse, mae"])


@pytest.mark.parametrize(
    ("bound", "error", "hint"),
    [
        ("--fail-under accuracy=95", "accuracy is from 0 to 1", "`--fail-under accuracy=0.95`"),
        ("--fail-under r2=1.5", "r2 is at most 1", "`--fail-under r2=0.85`"),
        ("--fail-over rmse=-1", "rmse is at least 0", "`--fail-over rmse=60`"),
        ("--fail-over ece=2", "ece is from 0 to 1", "`--fail-over ece=0.02`"),
    ],
)
def test_a_bound_that_no_run_can_reach_is_refused(
    dlcli: Callable[..., Finished], bound: str, error: str, hint: str
) -> None:
    refused = dlcli("eval", *bound.split())
    assert refused.code == 2
    assert refused.err == f"error: {bound}: {error}\n\nhint: write it like {hint}\n"


def test_nan_fails_and_close_values_are_shown_with_more_decimals() -> None:
    for option in ("--fail-under", "--fail-over"):
        assert not Check(Bound("loss", 1.0, option), math.nan).ok
        assert Check(Bound("loss", 1.0, option), 1.0).ok
    assert Check(Bound("rmse", 60.0, "--fail-over"), 60.0000004).failure == "rmse 60.0000004 is above 60"
