"""Metrics of the shipped configs, compared with the values in their headers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT, Finished

from dlcli.api import train
from dlcli.config.load import load_config

CONFIGS = sorted((CHECKOUT / "configs").glob("*.yaml"))
# Bounds for the test metric of one run; the headers give mean ± standard deviation of five runs.
EXPECTED = {
    "digits": ("accuracy", 0.95, 1.0),
    "diabetes": ("r2", 0.35, 0.6),
    "linear_regression": ("rmse", 0.48, 0.53),
    "sine_regression": ("rmse", 0.09, 0.13),
    "gradient_descent": ("accuracy", 0.94, 1.0),
    "moons": ("accuracy", 0.93, 1.0),
}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_config_is_short_and_its_header_states_the_expected_results(file: Path) -> None:
    text = file.read_text()
    header = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert len(text.splitlines()) <= 30
    assert f"dlcli train -c {file.stem}" in header
    assert re.search(r"\d ± \d", header), "a metric with its standard deviation"
    assert re.search(r"\d s\b", header), "a time"
    assert "2 cores" in header, "the hardware"


@pytest.mark.parametrize("preset", EXPECTED)
def test_a_config_reaches_the_metric_in_its_header(clean_place: Path, preset: str) -> None:
    metric, low, high = EXPECTED[preset]
    result = train(load_config(preset), evaluate_test=True)
    assert result.test is not None
    assert low <= result.test[metric] <= high


@pytest.mark.parametrize(
    ("preset", "floor"),
    [
        pytest.param("fashion_mnist_linear", 0.84, marks=pytest.mark.long),
        pytest.param("fashion_mnist", 0.885, marks=pytest.mark.long),
        pytest.param("fashion_mnist_strong", 0.898, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_fashion_mnist_reaches_its_accuracy_on_the_real_test_images(
    clean_place: Path, fashion_root: Path, dlcli: Callable[..., Finished], preset: str, floor: float
) -> None:
    trained = dlcli("train", "-c", preset, f"data.root={fashion_root}", "--quiet")
    assert trained.code == 0, trained.err
    evaluated = dlcli("eval", "--json", "--fail-under", f"accuracy={floor}")
    assert evaluated.code == 0, evaluated.err
    assert '"examples": 10000' in evaluated.out
