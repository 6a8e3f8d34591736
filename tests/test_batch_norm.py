"""Batches and checkpoints of models with batch normalization."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcli.api import build_experiment, open_run, resume, train
from dlcli.config.load import load_config
from dlcli.errors import DataError, UsageError
from dlcli.runs.checkpoint import load_checkpoint, save_checkpoint

NORM = ["model.batch_norm=true", "training.epochs=1"]


def test_a_last_batch_of_one_example_is_refused_with_a_batch_size_that_works() -> None:
    with pytest.raises(UsageError) as caught:
        build_experiment(load_config("digits", [*NORM, "training.batch_size=647"]).config)
    assert caught.value.hint == "write it like `training.batch_size=648`"
    build_experiment(load_config("digits", [*NORM, "training.batch_size=648"]).config)
    build_experiment(load_config("digits", [*NORM, "training.batch_size=647", "model.hidden_sizes=[]"]).config)


def test_checkpoints_hold_the_running_statistics_and_damage_to_them_is_found(clean_place: Path) -> None:
    train("digits", NORM, run_dir="run")
    path = Path("run/checkpoints/best.safetensors")
    saved = load_checkpoint(path)
    assert saved.parameters["1.num_batches_tracked"] == 21
    assert saved.parameters["1.running_mean"].any()
    statistics = dict(saved.parameters)
    statistics["1.running_var"] = -statistics["1.running_var"]
    save_checkpoint(path, replace(saved, parameters=statistics))
    with pytest.raises(DataError, match="running_var contains negative numbers"):
        load_checkpoint(path)


def test_evaluation_uses_the_running_statistics(clean_place: Path) -> None:
    train("digits", NORM, run_dir="run")
    predictor = open_run("run").predictor
    inputs = torch.rand(5, 64) * 16
    alone = [predictor.predict(inputs[i : i + 1]).values for i in range(5)]
    assert np.array_equal(predictor.predict(inputs).values, np.concatenate(alone))


def test_checkpoints_without_the_setting_still_load(clean_place: Path) -> None:
    """Checkpoints, and configs of runs, from before the setting lack it."""
    train("digits", ["training.epochs=1"], run_dir="run")
    assert "model.batch_norm" not in load_checkpoint(Path("run/checkpoints/last.safetensors")).settings
    resolved = Path("run/resolved.yaml")
    lines = [line for line in resolved.read_text().splitlines() if "batch_norm" not in line]
    resolved.write_text("\n".join(lines) + "\n")
    assert open_run("run").evaluate().split == "test"
    assert resume("run", load_config(resolved, ["training.epochs=1"])).epochs == 1
