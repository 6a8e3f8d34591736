from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dlcli
from dlcli.config.load import load_config
from dlcli.data.sources import load_splits
from dlcli.errors import DataError, DlcliError
from dlcli.prediction.predictor import build_predictor
from dlcli.runs.trained_run import load_trained_run


@pytest.mark.parametrize(
    ("preset", "overrides"),
    [
        ("digits", ["data.normalize=unit"]),
        ("digits", ["model.batch_norm=true"]),
        ("diabetes", ["data.normalize=symmetric"]),
        ("digits", ["model.head=l1", "model.dropout=0.3", "loss.class_weights=balanced"]),
        ("diabetes", []),
        ("sine_regression", ["training.precision=float64"]),
    ],
)
def test_raw_inputs_give_the_predictions_of_the_test_split(
    clean_place: Path, preset: str, overrides: list[str]
) -> None:
    result = dlcli.train(preset, ["training.epochs=2", "plots=never", *overrides])
    trained = load_trained_run(run := dlcli.open_run(result.run))
    raw = load_splits(load_config(preset, [*overrides, "data.normalize=none"]).config).test.inputs
    # The products of an evaluation have another shape.
    tolerance = 1e-5 * float(trained.predictions.std())
    np.testing.assert_allclose(run.predictor.predict(raw), trained.predictions, rtol=0, atol=tolerance)


def test_inputs_may_be_lists_or_images(clean_place: Path) -> None:
    dlcli.train("digits", ["training.epochs=1", "plots=never"])
    predictor = dlcli.open_run().predictor
    pixels = np.arange(128, dtype=np.uint8).reshape(2, 8, 8) % 17
    expected = predictor.predict(pixels.reshape(2, 64))
    for inputs in (pixels, pixels.reshape(2, 64).tolist(), torch.tensor(pixels)):
        assert np.array_equal(predictor.predict(inputs), expected)
    assert expected.values.sum(1).tolist() == pytest.approx([1, 1], abs=1e-12)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([[0.0] * 9], r"shape \(1, 9\), the model predicts from \(N, 10\)"),
        ([0.0] * 10, r"shape \(10,\)"),
        ([[float("nan")] * 10], "row 0: column 'age' has no value"),
        ([["a"] * 10], "row 0: column 'age' has 'a', which is not a finite number"),
        ([[0.0] * 10, [0.0]], "cannot predict for a value of type list"),
        (5, r"shape \(\)"),
    ],
)
def test_unsuitable_inputs_are_refused(clean_place: Path, inputs: Any, message: str) -> None:
    dlcli.train("diabetes", ["training.epochs=1", "plots=never"])
    with pytest.raises(DlcliError, match=message):
        dlcli.open_run().predictor.predict(inputs)


def test_settings_that_are_not_valid_are_refused(clean_place: Path) -> None:
    dlcli.train("diabetes", ["training.epochs=1", "plots=never"])
    checkpoint = dlcli.open_run().load_checkpoint("best")
    with pytest.raises(DataError, match="settings in the checkpoint"):
        build_predictor(replace(checkpoint, settings={**checkpoint.settings, "model.activation": "none"}))
