"""Tests that background load, CPU affinity and interruptions do not change the results of a seed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from config.generate import to_yaml

from faults.forge import Child, Forge
from faults.load import busy, changing_affinity, idle, intermittent
from faults.outcome import outcome

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")

# Six runs of this config, three at a time, gave six different checkpoints when timing chose the number of threads.
NARROW = """
task: regression
data: {name: synthetic_regression, function: friedman1, in_features: 8, n_samples: 20000}
model: {hidden_sizes: [48, 32]}
training: {epochs: 3}
plots: never
"""
EAGER = "data: {name: digits}\nmodel: {hidden_sizes: [300, 277]}\ntraining: {epochs: 2, step: eager}\nplots: never\n"
CONDITIONS: dict[str, Callable[[Callable[[], int | None]], AbstractContextManager[None]]] = {
    "idle machine": idle,
    "two busy processes": busy,
    "intermittent load": intermittent,
    "changing CPU affinity": changing_affinity,
}


def draw_config(draw: random.Random) -> str:
    """Return a random config that trains in a few tenths of a second, covering all choices of the schema."""
    task = draw.choice(["classification", "regression"])
    n_samples = draw.choice([500, 1000, 3001])
    in_features = draw.randint(2, 40)
    data: dict[str, Any] = {"n_samples": n_samples, "val_fraction": draw.choice([0.1, 0.23])}
    if task == "classification":
        data |= {"name": "synthetic_classification", "pattern": "blobs", "in_features": in_features}
        data |= {"n_classes": draw.randint(2, 12), "noise": 4.0}
        loss = draw.choice([{}, {"label_smoothing": 0.1}, {"class_weights": "balanced"}, {"name": "mse"}])
        if draw.random() < 0.3:
            data = {"name": "digits", "normalize": draw.choice(["unit", "standard"])}
            n_samples = 1700
    else:
        function = draw.choice(["linear", "polynomial", "sine", "step", "friedman1"])
        data |= {"name": "synthetic_regression", "function": function, "in_features": max(5, in_features)}
        loss = draw.choice([{}, {"name": "l1"}, {"name": "huber", "delta": 0.5}])
    optimizer = draw.choice(
        [
            {"lr": 0.05},
            {"lr": 0.05, "weight_decay": 1e-3},
            {"lr": 0.02, "momentum": 0.9, "nesterov": draw.random() < 0.5},
            {"name": "adam", "weight_decay": draw.choice([0.0, 1e-3])},
            {"name": "adamw"},
            {"name": "rmsprop", "momentum": draw.choice([0.0, 0.9])},
        ]
    )
    scheduler = draw.choice(
        [
            {},
            {"name": "cosine", "warmup_epochs": 0.5},
            {"name": "step", "step_size": 1, "gamma": 0.5},
            {"name": "exponential"},
            {"name": "one_cycle"},
            {"name": "plateau", "patience": 0},
        ]
    )
    precision = draw.choice(["float32", "float32", "float32", "float64", "bf16"])
    largest = int(0.55 * n_samples)
    training = {
        "epochs": draw.choice([2, 3]),
        "batch_size": draw.choice(
            [draw.randint(7, 200), draw.randint(7, 200), draw.randint(largest // 2, largest), "full"]
        ),
        "precision": precision,
        "step": "auto" if precision == "bf16" else draw.choice(["auto", "manual", "eager"]),
        "gradient_clip_norm": draw.choice([None, None, 0.5]),
    }
    if training["batch_size"] != "full" and training["batch_size"] < 20:
        training["epochs"] = 1
        scheduler = {}
    model = {
        "hidden_sizes": tuple(draw.randint(1, 300) for _ in range(draw.randint(0, 3))),
        "activation": draw.choice(["sigmoid", "sigmoid", "relu", "tanh", "gelu", "silu", "softplus", "leaky_relu"]),
        "init": draw.choice(["default", "xavier_uniform", "kaiming_normal"]),
        "dropout": draw.choice([0.0, 0.0, 0.3]),
    }
    tree = {"task": task, "seed": draw.randrange(100), "data": data, "model": model, "loss": loss}
    tree |= {"optimizer": optimizer, "scheduler": scheduler, "training": training, "plots": "never"}
    return to_yaml({key: value for key, value in tree.items() if value})


def train(forge: Forge, folder: Path, condition: str) -> dict[str, Any]:
    """Train the config in a folder under a condition; return the outcome."""
    started: list[Child] = []
    with CONDITIONS[condition](lambda: started[0].pid if started else None):
        started.append(forge.start("train", "-c", "config.yaml", "--run-dir", "run", "-q", folder=folder))
        ended = started[0].wait()
    assert ended.code == 0, ended.err
    result = outcome(folder / "run")
    shutil.rmtree(folder / "run")
    return result


def train_in_pieces(forge: Forge, folder: Path, draw: random.Random) -> tuple[dict[str, Any], int]:
    """Train with repeated stops and resumes under load; return the outcome and the number of stops."""
    command, stops = ["train", "-c", "config.yaml", "--run-dir", "run", "-q"], 0
    with intermittent(lambda: None):
        for attempt in range(100):
            fault = {"slow_seconds": 0.02, "frequent_saves": True} if attempt < 4 else {}
            child = forge.start(*command, folder=folder, fault=fault)
            if attempt < 4:
                time.sleep(draw.uniform(0.1, 0.9))
                child.kill(draw.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
            ended = child.wait()
            assert ended.code in (0, 130, 143, -9), ended.err
            if ended.code == 0:
                break
            stops += 1
            if (folder / "run" / "manifest.json").exists():
                command = ["train", "--resume", "run", "-q"]
    result = outcome(folder / "run")
    shutil.rmtree(folder / "run")
    return result, stops


def check(forge: Forge, folder: Path, config: str, seed: int, *, verifies: bool) -> int:
    """Assert that a config gives identical results under every condition; return the number of stops."""
    (folder / "config.yaml").write_text(config)
    expected = train(forge, folder, "idle machine")
    for condition in CONDITIONS:
        assert train(forge, folder, condition) == expected, (condition, config)
    pieces, stops = train_in_pieces(forge, folder, random.Random(seed))
    assert pieces == expected, ("in pieces", config)
    if verifies:
        for first, second in ((busy, idle), (idle, intermittent)):
            with first(lambda: None):
                assert forge.run("train", "-c", "config.yaml", "--run-dir", "run", "-q", folder=folder).code == 0
            with second(lambda: None):
                verified = forge.run("verify", "run", folder=folder)
            assert verified.code == 0, (verified, config)
            shutil.rmtree(folder / "run")
    return stops


@pytest.mark.parametrize("config", [NARROW, EAGER], ids=["narrow", "eager"])
def test_results_are_identical_under_background_load(forge: Forge, clean_place: Path, config: str) -> None:
    check(forge, clean_place, config, 0, verifies=True)


@pytest.mark.long
@pytest.mark.timeout(4000)
def test_results_of_sixty_random_configs_are_identical_under_load(forge: Forge, clean_place: Path) -> None:
    draw = random.Random(2026)
    stops = [check(forge, clean_place, draw_config(draw), seed, verifies=True) for seed in range(60)]
    assert sum(stops) >= 60, "too few runs were stopped"
