"""Commands for a run without a validation split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

Dlcli = Callable[..., Finished]
THREE_CLASSES = "data={name: synthetic_classification, pattern: spirals, n_classes: 3, n_samples: 300, val_fraction: 0}"


@pytest.mark.parametrize("arguments", [["moons", THREE_CLASSES], ["diabetes", "data.val_fraction=0"]])
def test_every_command_works_without_a_validation_split(dlcli: Dlcli, clean_place: Path, arguments: list[str]) -> None:
    settings = ["training.epochs=3", "plots=always", "--run-dir", "run"]
    trained = dlcli("train", *arguments, *settings)
    assert trained.code == 0, trained.err
    assert "note: there is no validation split (data.val_fraction is 0): train/loss is monitored" in trained.err
    assert "lowest train/loss" in trained.out
    assert "\ntrain     loss" in trained.out
    assert "pictures of the training split" in trained.err
    for command in (
        ["eval", "run"],
        ["predict", "run"],
        ["plot", "run"],
        ["report", "run"],
        ["runs", "show", "run", "--diagnose"],
        ["runs", "compare", "run", "run", "--html", "compare.html"],
        ["runs", "list"],
        ["export", "run", "--format", "safetensors"],
        ["verify", "run"],
        ["train", "--resume", "run"],
    ):
        done = dlcli(*command)
        assert done.code == 0, (command, done.err)
    row = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])
    assert not [name for name in row if name.startswith("val/")]


@pytest.mark.parametrize("command", ["eval", "plot", "report", "predict"])
def test_the_missing_validation_split_is_a_usage_error(dlcli: Dlcli, clean_place: Path, command: str) -> None:
    assert dlcli("train", "digits", "data.val_fraction=0", "training.epochs=1", "--run-dir", "run").code == 0
    done = dlcli(command, "run", "--split", "val")
    assert (done.code, done.out) == (2, "")
    assert "error: run has no validation split: data.val_fraction is 0" in done.err


def test_a_study_of_the_validation_split_needs_one(dlcli: Dlcli, clean_place: Path) -> None:
    done = dlcli("study", "mse-vs-cross-entropy", "data.val_fraction=0")
    assert done.code == 2
    assert "measures the validation split, and data.val_fraction is 0" in done.err
