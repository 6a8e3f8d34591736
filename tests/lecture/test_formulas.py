"""Formulas in the lecture's notation match the config."""

from __future__ import annotations

from typing import Any

import pytest

from dlcli.config.schema import Config, ModelSection
from dlcli.lecture.formulas import (
    ACTIVATION_FORMULAS,
    HEAD_FORMULAS,
    function_lines,
    layer_letters,
    loss_gradient_formula,
    loss_lines,
    update_lines,
)
from dlcli.model import ACTIVATIONS


def config(**sections: Any) -> Config:
    task = sections.get("task", "classification")
    data = {"name": "digits" if task == "classification" else "diabetes"}
    return Config.model_validate({"data": data, **sections})


def test_every_activation_and_head_has_a_formula() -> None:
    assert set(ACTIVATION_FORMULAS) == set(ACTIVATIONS)
    assert set(HEAD_FORMULAS) == set(ModelSection.model_fields["head"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("task", "model", "expected"),
    [
        ("classification", {"hidden_sizes": ()}, "f(x, θ) = softmax(θᵀ x̄)"),
        ("regression", {"hidden_sizes": ()}, "f(x, θ) = θᵀ x̄"),
        ("regression", {"hidden_sizes": (8,)}, "f(x, θ) = ξᵀ σ̄(φᵀ x̄)"),
        ("classification", {"hidden_sizes": (9, 8)}, "f(x, θ) = softmax(ξᵀ σ̄(ψᵀ σ̄(φᵀ x̄)))"),
        ("classification", {"hidden_sizes": (9, 8), "head": "l1"}, "f(x, θ) = l1(ξᵀ σ̄(ψᵀ σ̄(φᵀ x̄)))"),
        ("regression", {"hidden_sizes": (2,) * 11}, "f(x, θ) = φ₁₂ᵀ σ̄( … σ̄(φ₁ᵀ x̄))"),
    ],
)
def test_the_function_matches_the_slides(task: str, model: dict[str, Any], expected: str) -> None:
    assert function_lines(config(task=task, model=model))[0] == expected


def test_batch_norm_is_written_before_the_activation() -> None:
    lines = function_lines(config(model={"hidden_sizes": (9, 8), "batch_norm": True}))
    assert lines[0] == "f(x, θ) = softmax(ξᵀ σ̄(ν(ψᵀ σ̄(ν(φᵀ x̄)))))"
    assert lines[1].startswith("ν(z) = γ (z − m) / √(s² + 1e-05) + β")
    assert "ν" not in " ".join(function_lines(config(model={"hidden_sizes": (), "batch_norm": True})))


def test_every_layer_has_a_separate_letter() -> None:
    for n in range(1, 30):
        letters = layer_letters(n)
        assert len(set(letters)) == n
        assert not set("αδεθλμσ") & set(letters) or letters == ["θ"]


def test_activation_and_dropout_of_the_config_are_written_out() -> None:
    lines = " ".join(function_lines(config(model={"activation": "tanh", "dropout": 0.2})))
    assert "σ(z) = tanh z" in lines
    assert "0 with probability 0.2, otherwise it is divided by 0.8" in lines
    assert "one linear model" in " ".join(function_lines(config(model={"activation": "identity"})))
    assert "σ" not in " ".join(function_lines(config(model={"hidden_sizes": (), "dropout": 0.2})))


def test_the_scale_of_the_target_is_written_out() -> None:
    lines = loss_lines(config(task="regression", data={"name": "diabetes", "normalize": "symmetric"}), 1)
    assert lines[-1] == "y is scaled to −1..1"


def test_smoothed_labels_are_written_with_their_probabilities() -> None:
    lines = loss_lines(config(loss={"label_smoothing": 0.1}), 10)
    assert "0.91 for the label's class, otherwise 0.01" in lines[-1]
    assert loss_gradient_formula(config(loss={"label_smoothing": 0.1})) == "p − y, y smoothed by 0.1"


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"name": "sgd", "momentum": 0}, ["θ ← θ − α J"]),
        ({"name": "sgd", "momentum": 0.9, "weight_decay": 0.5}, ["J ← J + 0.5 θ", "v ← 0.9 v + J", "θ ← θ − α v"]),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, ["v ← 0.9 v + J", "θ ← θ − α (J + 0.9 v)"]),
        ({"name": "adamw"}, ["θ ← θ − α 0.01 θ", "m ← 0.9 m + 0.1 J;  v ← 0.999 v + 0.001 J²"]),
        ({"name": "rmsprop"}, ["v ← 0.99 v + 0.01 J²", "θ ← θ − α J / (√v + 1e-08)"]),
        (
            {"name": "rmsprop", "momentum": 0.9, "weight_decay": 0.5},
            ["J ← J + 0.5 θ", "v ← 0.99 v + 0.01 J²", "m ← 0.9 m + J / (√v + 1e-08)", "θ ← θ − α m"],
        ),
    ],
)
def test_the_update_matches_the_optimizer(optimizer: dict[str, Any], expected: list[str]) -> None:
    lines = update_lines(config(optimizer=optimizer, training={"epochs": 10}), 21)
    assert lines[0] == "J ← ∇_θ L(X, Y, θ), over the batch"
    assert lines[1 : 1 + len(expected)] == expected
    assert lines[-1] == "t = 210 steps: 10 epochs of 21"
