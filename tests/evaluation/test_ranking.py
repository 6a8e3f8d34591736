"""Marks of the best values of compared runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dlcli.config.load import load_config
from dlcli.evaluation.ranking import explain_marks, rank_runs
from dlcli.evaluation.split_interval import wilson_interval
from dlcli.runs.comparison import Comparison

N = 144  # validation examples of digits, by its config: 1,797 · 0.8 · 0.1


def ranked(metrics: dict[str, Any], configs: Any = ([], [])) -> dict[str, list[str]]:
    runs: Any = [SimpleNamespace(config=load_config("digits", settings).config, manifest={}) for settings in configs]
    return rank_runs(runs, Comparison(["a", "b"], ["a", "b"], {}, metrics))  # type: ignore[return-value]


@pytest.mark.parametrize("metric", ["val/accuracy", "val/macro_f1"])
def test_an_accuracy_is_best_only_if_the_next_is_outside_its_interval(metric: str) -> None:
    low, _ = wilson_interval(round(0.9 * N), N)
    assert ranked({metric: [0.9, low - 0.001]}) == {metric: ["best", ""]}
    assert ranked({metric: [low + 0.001, 0.9]}) == {metric: ["tied", "tied"]}


def test_errors_and_losses_are_best_if_they_are_lowest() -> None:
    assert ranked({"val/loss": [0.3, 0.2]}) == {"val/loss": ["", "best"]}
    assert ranked({"val/loss": [0.2, 0.2]}) == {"val/loss": ["tied", "tied"]}
    assert ranked({"val/loss": [None, 0.2]}) == {"val/loss": ["", ""]}
    assert ranked({"val/loss": [float("nan"), 0.2, 0.3]}, ([], [], [])) == {"val/loss": ["", "best", ""]}


def test_only_comparable_validation_metrics_are_marked() -> None:
    metrics = {"train/loss": [1, 2], "val/loss": [1.0, 2.0], "test/accuracy": [0.1, 0.9], "seconds": [1.0, 2.0]}
    assert set(ranked(metrics)) == {"val/loss"}
    assert ranked(metrics, ([], ["loss.name=mse"])) == {}
    assert ranked({"val/accuracy": [0.1, 0.9]}, ([], ["data={name: synthetic_classification}"])) == {}


def test_only_marks_that_occur_are_explained() -> None:
    assert explain_marks({}) == []
    assert [text[0] for text in explain_marks({"a": ["best", ""], "b": ["tied", "tied"]})] == ["★", "≈"]
    assert [text[0] for text in explain_marks({"a": ["best", ""]})] == ["★"]
