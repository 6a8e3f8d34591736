"""Training with extreme valid settings: each run ends with a result or an error message."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dlcli import api
from dlcli.config.describe import json_schema
from dlcli.config.load import load_config
from dlcli.config.render import render_value
from dlcli.errors import ConfigError, DlcliError

SMALL = ["training.epochs=2", "data.n_samples=60", "model.hidden_sizes=[3]", "plots=never", "training.device=cpu"]
ENDS = (1e-18, 1e18)
NEARLY_1 = 0.9999999999999999
OPTIMIZERS = {
    "sgd": {
        "lr": (*ENDS, 0.1),
        "weight_decay": (0, *ENDS),
        "momentum": (0, 1e-18, NEARLY_1),
        "nesterov": (False, True),
    },
    "adam": {
        "lr": (*ENDS, 1e-3),
        "weight_decay": (0, *ENDS),
        "betas": ((0.9, 0.999), (NEARLY_1, NEARLY_1), (0, 0), (1e-18, 1e-18), (0, NEARLY_1), (NEARLY_1, 0)),
        "eps": (1e-30, 1e-8, 1e18),
    },
}
OPTIMIZERS["rmsprop"] = {
    "lr": (*ENDS, 1e-3),
    "weight_decay": (0, *ENDS),
    "alpha": (0, 1e-18, 0.99, NEARLY_1),
    "eps": (1e-30, 1e-8, 1e18),
    "momentum": (0, 1e-18, NEARLY_1),
}
OPTIMIZERS["adamw"] = OPTIMIZERS["adam"]
SCHEDULERS = {
    "none": {},
    "cosine": {"final_fraction": (0, 1e-18, 1)},
    "step": {"gamma": (1e-18, 1), "step_size": (1, 1_000_000_000)},
    "exponential": {"gamma": (1e-18, 1)},
    "one_cycle": {
        "rise_fraction": (1e-18, 0.5, NEARLY_1),
        "initial_fraction": (1e-18, 1),
        "final_fraction": (0, 1e-18, 1),
    },
    "plateau": {"factor": (1e-18, NEARLY_1), "patience": (0, 1_000_000_000)},
}
LOSSES = {
    "classification": {
        "cross_entropy": {
            "label_smoothing": (0, 1e-18, NEARLY_1),
            "class_weights": (None, "balanced", (1e-18, 1e18), (1e18, 1e18), (1e-18, 1e-18)),
        },
        "mse": {},
    },
    "regression": {"mse": {}, "l1": {}, "huber": {"delta": (*ENDS, 1.0)}},
}
DATA = {
    "classification": {
        "pattern": ("moons", "circles", "blobs", "spirals"),
        "noise": (0, 0.1, *ENDS),
        "n_samples": (10, 60),
    },
    "regression": {
        "function": ("linear", "polynomial", "sine", "step"),
        "noise": (0, 0.1, *ENDS),
        "n_samples": (10, 60),
    },
}
SECTIONS = {
    "data": {
        "normalize": ("none", "unit", "symmetric", "standard"),
        "val_fraction": (0, 1e-18, 0.1, 0.25, 0.5, 0.5, NEARLY_1),
        "test_fraction": (1e-18, 0.2, 0.25, 0.5, 0.5, NEARLY_1),
        "seed": (0, 2**32 - 1),
    },
    "model": {
        "hidden_sizes": ((), (1,), (3, 2)),
        "activation": ("sigmoid", "relu", "identity", "gelu", "softplus"),
        "init": ("default", "normal", "zeros"),
        "dropout": (0, 1e-18, NEARLY_1),
    },
    "scheduler": {"warmup_epochs": (0, 1e-18, 1.4999999, 1.9999999)},
    "training": {
        "batch_size": (1, 2, "full"),
        "precision": ("float32", "float64", "bf16"),
        "gradient_clip_norm": (None, *ENDS),
    },
    "early_stopping": {"patience": (None, 1, 1_000_000_000), "min_delta": (0, *ENDS)},
    "checkpoint": {"every_seconds": (60, *ENDS)},
}


def drawn(choices: dict[str, tuple[object, ...]], rng: random.Random) -> dict[str, object]:
    return {key: rng.choice(values) for key, values in choices.items()}


def random_extremes(rng: random.Random, task: str, optimizer: str, scheduler: str) -> list[str]:
    """Return extreme settings: all of loss, optimizer and scheduler, and some of those common to all configs."""
    loss, fraction = rng.choice(list(LOSSES[task])), rng.choice([0.1, 0.5])
    tree: dict[str, dict[str, object]] = {
        "loss": {"name": loss, **drawn(LOSSES[task][loss], rng)},
        "optimizer": {"name": optimizer, **drawn(OPTIMIZERS[optimizer], rng)},
        "scheduler": {"name": scheduler, **drawn(SCHEDULERS[scheduler], rng)},
        "data": {"name": f"synthetic_{task}"},
    }
    if tree["optimizer"].get("momentum") == 0:
        tree["optimizer"]["nesterov"] = False
    for section, settings in {**SECTIONS, "data": SECTIONS["data"] | DATA[task]}.items():
        extremes = {key: value for key, value in drawn(settings, rng).items() if rng.random() < fraction}
        tree[section] = tree.get(section, {}) | extremes
    written = [
        f"{section}.{key}={render_value(value)}"
        for section, settings in tree.items()
        for key, value in settings.items()
    ]
    return [f"task={task}", *written]


def outcome(settings: list[str], folder: Path) -> int:
    """Return the exit code of training. Other exceptions than DlcliError pass through, as they cause a traceback."""
    try:
        loaded = load_config("moons", ["data=null", "loss=null", "optimizer=null", "scheduler=null", *settings])
        api.train(loaded, run_dir=folder, evaluate_test=True)
    except DlcliError as error:
        return error.exit_code
    return 0


def train_all(seed: int, place: Path) -> Counter[int]:
    """Train every combination of task, optimizer, schedule and step, and count the exit codes."""
    rng, codes = random.Random(seed), Counter[int]()
    combinations = itertools.product(LOSSES, OPTIMIZERS, SCHEDULERS, ("eager", "manual"))
    for i, (task, optimizer, scheduler, step) in enumerate(combinations):
        settings = [*SMALL, f"training.step={step}", *random_extremes(rng, task, optimizer, scheduler)]
        code = outcome(settings, place / f"{seed}-{i}")
        assert code in (0, 2, 3, 5), settings
        codes[code] += 1
    return codes


def test_extreme_settings_end_with_a_result_or_an_error_message(clean_place: Path) -> None:
    codes = train_all(0, clean_place)
    assert codes[0] > 20, "most are trained"
    assert codes[5] > 5, "some diverge"


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 21))
def test_extreme_settings_at_length(clean_place: Path, seed: int) -> None:
    train_all(seed, clean_place)


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.lr=1e300"],
        ["optimizer.lr=1e-46"],
        ["optimizer.lr=1e-400"],
        ["optimizer.weight_decay=1e300"],
        ["optimizer.momentum=1e-46"],
        ["optimizer={name: adam, betas: [0.9, 1e-46]}"],
        ["optimizer={name: adam, eps: 1e-46}"],
        ["model.dropout=1e-46"],
        ["loss.label_smoothing=1e-46"],
        ["loss.class_weights=[1e300, 1]"],
        ["data.noise=1e300"],
        ["scheduler={name: step, gamma: 1e-300}"],
        ["scheduler={name: cosine, warmup_epochs: 1e300}"],
        ["training.gradient_clip_norm=1e-46"],
        ["early_stopping.min_delta=1e300"],
        ["checkpoint.every_seconds=1e300"],
        ["model.hidden_sizes=[1000000000000000000000000000000]"],
        [f"training.epochs=1{'0' * 308}"],
        [f"training.epochs=1{'0' * 400}"],
        [f"training.batch_size=1{'0' * 308}"],
        [f"seed=0x{'f' * 5000}"],
        [f"data.n_samples=1{'0' * 30}"],
    ],
    ids=lambda settings: settings[0][:40],
)
def test_numbers_outside_float32_or_index_range_are_rejected(settings: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("moons", settings)
    assert len(caught.value.problems) == 1
    assert caught.value.hint


def test_every_number_of_the_schema_has_bounds_on_both_sides() -> None:
    def numbers(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if node.get("type") in ("number", "integer") and "const" not in node:
                yield node
            for inner in node.values():
                yield from numbers(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from numbers(inner)

    schemas = list(numbers(json_schema()))
    assert len(schemas) > 40
    for node in schemas:
        assert {"minimum", "exclusiveMinimum"} & set(node), node
        assert {"maximum", "exclusiveMaximum"} & set(node) or node == {"minimum": 1, "type": "integer"}, (
            node
        )  # batch_size
        if node["type"] == "number":
            assert 0 < node["minimum"] <= 1e-18


def test_zero_is_allowed_for_settings_that_it_disables() -> None:
    allowed = jsonschema.Draft202012Validator(json_schema()["$defs"]["SgdOptimizer"]["properties"]["weight_decay"])
    assert [allowed.is_valid(value) for value in (0, 0.0, 1e-18, 1e18, None, 1e-46, 1e19, -1)] == [True] * 5 + [
        False
    ] * 3
