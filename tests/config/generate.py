"""Random valid configs, and random spelling mistakes."""

from __future__ import annotations

import random
import string
from typing import Any

from dlcli.config.render import render_value

DATA: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"name": "fashion_mnist", "pad": 2, "root": "some/folder"},
        {"name": "fashion_mnist"},
        {"name": "digits", "test_fraction": 0.3, "normalize": "symmetric"},
        {"name": "synthetic_classification", "pattern": "spirals", "n_classes": 4, "noise": 0},
        {"name": "synthetic_classification", "pattern": "blobs", "in_features": 7, "n_samples": 2000},
    ],
    "regression": [
        {"name": "diabetes", "normalize": "unit"},
        {"name": "synthetic_regression", "function": "friedman1", "in_features": 9, "seed": 3},
        {"name": "synthetic_regression", "function": "step", "noise": 1e-3},
    ],
}
LOSS: dict[str, list[dict[str, Any] | None]] = {
    "classification": [None, {"label_smoothing": 0.1}, {"name": "mse"}, {"class_weights": "balanced"}],
    "regression": [None, {"name": "l1"}, {"name": "huber", "delta": 0.5}, {"name": "mse"}],
}
OPTIMIZER: list[dict[str, Any]] = [
    {"lr": 0.3},
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    {"name": "adam", "betas": (0.8, 0.99), "eps": 1e-7},
    {"name": "adamw", "lr": 1e-3},
    {"name": "rmsprop", "alpha": 0.9, "momentum": 0.5},
]
SCHEDULER: list[dict[str, Any] | None] = [
    None,
    {"name": "cosine", "final_fraction": 0.01},
    {"name": "step", "step_size": 3, "gamma": 0.5},
    {"name": "exponential", "warmup_epochs": 0.5},
    {"name": "one_cycle", "rise_fraction": 0.2, "initial_fraction": 0.1},
    {"name": "plateau", "factor": 0.5, "patience": 2},
]
TRAINING: list[dict[str, Any]] = [
    {"epochs": 3, "batch_size": "full"},
    {"epochs": 7, "batch_size": 100, "precision": "float64", "device": "cpu"},
    {"gradient_clip_norm": 1.5},
]
MODEL: list[dict[str, Any]] = [
    {"hidden_sizes": ()},
    {"hidden_sizes": (8, 4), "activation": "relu", "init": "kaiming_normal", "dropout": 0.25, "batch_norm": True},
    {"activation": "heaviside", "init": "normal"},
    {"init": {"run": "some$$/run", "preprocessing": "keep"}},
]


def random_config(rng: random.Random) -> dict[str, Any]:
    """Return a random valid config; sections may be missing, partial or complete."""
    task = rng.choice(["classification", "regression"])
    metric = rng.choice(["loss", {"classification": "accuracy", "regression": "r2"}[task]])
    tree = {
        "name": rng.choice([None, "a-run", "no", "1e5", "v1.2"]),
        "task": task,
        "seed": rng.choice([None, 0, 17, 2**32 - 1]),
        "data": rng.choice(DATA[task]) | {"val_fraction": rng.choice([0.1, 0.25])},
        "model": rng.choice(MODEL),
        "loss": rng.choice(LOSS[task]),
        "optimizer": rng.choice(OPTIMIZER),
        "scheduler": rng.choice(SCHEDULER),
        "training": rng.choice(TRAINING),
        "early_stopping": rng.choice([None, {"patience": 4, "monitor": f"val/{metric}", "min_delta": 1e-3}]),
        "checkpoint": rng.choice([None, {"monitor": f"val/{metric}", "every_seconds": 5}]),
    }
    return {key: value for key, value in tree.items() if value is not None}


def to_yaml(tree: dict[str, Any]) -> str:
    """Return a config as YAML, with one setting per line."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {inner}: {render_value(setting)}" for inner, setting in value.items())]
        else:
            lines.append(f"{key}: {render_value(value)}")
    return "\n".join(lines) + "\n"


def edit(word: str, rng: random.Random) -> str:
    """Return the word with one typing mistake: a letter inserted, deleted or replaced, or two letters swapped."""
    index = rng.randrange(len(word))
    letter = rng.choice(string.ascii_lowercase)
    match rng.randrange(4):
        case 0:
            return word[:index] + letter + word[index:]
        case 1:
            return word[:index] + word[index + 1 :]
        case 2:
            return word[:index] + letter + word[index + 1 :]
        case _:
            return word[:index] + word[index + 1 : index + 2] + word[index] + word[index + 2 :]
