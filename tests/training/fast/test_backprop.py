"""Back-propagation written out, compared with autograd."""

from __future__ import annotations

import copy

import pytest
import torch

from dlcli.api import Experiment, build_experiment
from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.model import ACTIVATIONS
from dlcli.training.fit import Fit


def fitted(experiment: Experiment, config: Config) -> dict[str, torch.Tensor]:
    model = copy.deepcopy(experiment.model)
    events = list(Fit(model, experiment.task, experiment.splits, config))
    assert len(events) > config.training.epochs
    return {**model.state_dict(), "train_loss": torch.tensor(events[-2].train_loss)}  # type: ignore[union-attr]


def largest_difference(preset: str, *settings: str) -> float:
    """Return how far the parameters of the two steps are apart after an epoch, relative to each tensor's largest."""
    shared = ["training.batch_size=50", "training.epochs=1", "model.hidden_sizes=[16, 8]", "optimizer.lr=0.05"]
    loaded = [load_config(preset, [*shared, *settings, f"training.step={step}"]).config for step in ("eager", "manual")]
    experiment = build_experiment(loaded[0])
    eager, manual = (fitted(experiment, config) for config in loaded)
    return max(float((eager[name] - manual[name]).abs().max() / eager[name].abs().max()) for name in eager)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_matches_autograd(activation: str) -> None:
    settings = [f"model.activation={activation}", "training.precision=float64"]
    assert largest_difference("digits", *settings) < 1e-12


@pytest.mark.parametrize(
    ("preset", "loss"),
    [
        ("digits", "{name: cross_entropy, label_smoothing: 0.1}"),
        ("digits", "{name: cross_entropy, class_weights: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}"),
        ("digits", "{name: cross_entropy, class_weights: [9, 2, 3, 4, 5, 6, 7, 8, 9, 1], label_smoothing: 0.2}"),
        ("digits", "{name: mse}"),
        ("diabetes", "{name: mse}"),
        ("diabetes", "{name: l1}"),
        ("diabetes", "{name: huber, delta: 0.3}"),
    ],
)
def test_every_loss_matches_autograd(preset: str, loss: str) -> None:
    assert largest_difference(preset, f"loss={loss}", "training.precision=float64") < 1e-12


@pytest.mark.parametrize("loss", ["{name: cross_entropy, label_smoothing: 0.1}", "{name: mse}"])
def test_the_l1_head_matches_autograd(loss: str) -> None:
    settings = ["model.head=l1", "training.precision=float64", "optimizer.lr=0.01"]
    assert largest_difference("digits", f"loss={loss}", *settings) < 1e-10


@pytest.mark.parametrize(
    "settings",
    [
        ["optimizer.weight_decay=0.01", "scheduler.name=cosine"],
        ["optimizer.momentum=0.9"],
        ["optimizer={name: sgd, lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01}"],
        ["optimizer={name: adamw, lr: 0.01}"],
        ["training.gradient_clip_norm=0.1"],
        ["model.dropout=0.3"],
        ["training.batch_size=full", "training.epochs=5"],
        ["model.hidden_sizes=[]"],
        ["model.hidden_sizes=[1100, 20]"],
        ["model.hidden_sizes=[1100, 20]", "optimizer.weight_decay=0.01"],
        ["model.hidden_sizes=[1100, 20]", "optimizer.momentum=0.9", "model.dropout=0.3"],
    ],
    ids=" ".join,
)
def test_all_training_options_match_autograd(settings: list[str]) -> None:
    assert largest_difference("digits", *settings, "training.precision=float64") < 1e-11


@pytest.mark.parametrize("preset", ["digits", "diabetes"])
def test_in_float32_a_run_differs_by_rounding_only(preset: str) -> None:
    assert largest_difference(preset, "training.epochs=5") < 2e-5
