"""`dlcli explain`: loss terms, KL divergence and FLOPs against scipy and written-out sums."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from conftest import Finished

from dlcli import api
from dlcli.config.load import load_config
from dlcli.data.splits import Split
from dlcli.lecture.explanation import loss_terms, measure_divergence
from dlcli.model import ACTIVATIONS
from dlcli.task import Classification

LOSSES = [
    ("digits", "{name: cross_entropy}"),
    ("digits", "{name: cross_entropy, label_smoothing: 0.1}"),
    ("digits", "{name: cross_entropy, class_weights: balanced}"),
    ("digits", "{name: cross_entropy, class_weights: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], label_smoothing: 0.2}"),
    ("digits", "{name: mse}"),
    ("diabetes", "{name: mse}"),
    ("diabetes", "{name: l1}"),
    ("diabetes", "{name: huber, delta: 0.3}"),
]


def build_experiment(*settings: str) -> tuple[api.Experiment, Split, torch.Tensor]:
    """Return data and model, the first batch, and its outputs, in float64."""
    preset, *rest = settings
    experiment = api.build_experiment(load_config(preset, [*rest, "training.precision=float64"]).config)
    order = torch.Generator().manual_seed(0)
    batch = experiment.splits.train.select(torch.randperm(len(experiment.splits.train), generator=order)[:50])
    with torch.no_grad():
        return experiment, batch, experiment.model(batch.inputs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("head", ["softmax", "l1"])
def test_kl_divergence_and_its_parts_match_scipy(smoothing: float, head: str) -> None:
    experiment, batch, outputs = build_experiment("digits", f"loss.label_smoothing={smoothing}", f"model.head={head}")
    divergence = measure_divergence(experiment.task, outputs, batch.targets, experiment.config)
    z = outputs.numpy()
    q = np.exp(z) / np.exp(z).sum(1, keepdims=True) if head == "softmax" else np.abs(z) / np.abs(z).sum(1)[:, None]
    p = (1 - smoothing) * np.eye(10)[batch.targets] + smoothing / 10
    assert divergence.kl == pytest.approx(scipy.stats.entropy(p, q, axis=1).mean(), rel=1e-12)
    assert divergence.entropy == pytest.approx(scipy.stats.entropy(p, axis=1).mean(), rel=1e-12)
    assert divergence.cross_entropy == pytest.approx(-(p * np.log(q)).sum(1).mean(), rel=1e-12)
    assert divergence.gap < 1e-14
    assert (divergence.entropy == 0) == (smoothing == 0)
    assert math.copysign(1, divergence.entropy) == 1
    assert divergence.cross_entropy == pytest.approx(experiment.task.loss(outputs, batch.targets).item(), rel=1e-12)


def test_kl_is_finite_for_probabilities_that_round_to_0() -> None:
    experiment, _, _ = build_experiment("digits")
    outputs = torch.tensor([[0.0, 2000.0, *[0.0] * 8]], dtype=torch.float64)
    divergence = measure_divergence(experiment.task, outputs, torch.tensor([0]), experiment.config)
    assert divergence.kl == divergence.cross_entropy == 2000


@pytest.mark.parametrize("head", ["softmax", "l1"])
@pytest.mark.parametrize(("preset", "loss"), LOSSES)
def test_loss_terms_add_up_to_the_loss(preset: str, loss: str, head: str) -> None:
    settings = [f"loss={loss}", *([f"model.head={head}"] if preset == "digits" else [])]
    experiment, batch, outputs = build_experiment(preset, *settings)
    terms = loss_terms(experiment.task, outputs, batch.targets, experiment.config)
    written_out = terms.sum() / experiment.task.weight(batch.targets, terms.dtype)
    assert written_out.item() == pytest.approx(experiment.task.loss(outputs, batch.targets).item(), rel=1e-6)


@pytest.mark.parametrize(("loss", "expected"), [("mse", 0.32), ("cross_entropy", -math.log(0.6))])
@pytest.mark.parametrize("head", ["softmax", "l1"])
def test_worked_example_of_the_lecture(loss: str, expected: float, head: str) -> None:
    config = load_config("moons", [f"loss.name={loss}", f"model.head={head}"]).config
    task = Classification(config.loss, 2, head=config.model.head)  # type: ignore[arg-type]
    outputs = torch.tensor([[0.6, 0.4]], dtype=torch.float64)
    outputs = outputs.log() if head == "softmax" else outputs
    assert loss_terms(task, outputs, torch.tensor([0]), config).sum().item() == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(0.5108, abs=5e-5) or loss == "mse"


@pytest.mark.parametrize(
    ("preset", "loss", "more"),
    [
        *((*case, more) for case in LOSSES for more in ([], ["model.hidden_sizes=[]", "training.batch_size=full"])),
        *((*case, ["model.head=l1"]) for case in LOSSES if case[0] == "digits"),
    ],
)
def test_every_loss_and_head_is_explained_within_80_columns(
    dlcli: Callable[..., Finished], preset: str, loss: str, more: list[str]
) -> None:
    done = dlcli("explain", "-c", preset, f"loss={loss}", *more)
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80, done.out
    assert ("KL(P, Q)" in done.out) == (preset == "digits")


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_is_explained(dlcli: Callable[..., Finished], activation: str) -> None:
    done = dlcli("explain", "-c", "moons", f"model.activation={activation}")
    assert done.code == 0
    assert "σ(z) = " in done.out


def test_page_and_json_have_the_same_numbers(dlcli: Callable[..., Finished]) -> None:
    arguments = ("explain", "-c", "digits", "loss.label_smoothing=0.1", "model.hidden_sizes=[64, 20]")
    page, result = dlcli(*arguments).out, json.loads(dlcli(*arguments, "--json").out)
    for layer in result["layers"]:
        arithmetic = f"{layer['fan_in']:,} × {layer['fan_out']:,} + {layer['fan_out']:,} = {layer['parameters']:,}"
        assert arithmetic in page
    for name in ("cross_entropy", "entropy", "kl"):
        assert f"{result['divergence'][name]:.6f}" in page
    for term in result["example"]["terms"]:
        assert f"{term['p']:.4f}" in page
    assert sum(term["p"] for term in result["example"]["terms"]) == pytest.approx(1)
    (label,) = [term for term in result["example"]["terms"] if term["name"] == result["example"]["label"]]
    assert result["example"]["surprise"] == pytest.approx(-math.log(label["p"]))
    assert label["y"] == pytest.approx(0.91)
    assert result["example"]["loss"] == pytest.approx(
        sum(-term["y"] * math.log(term["p"]) for term in result["example"]["terms"])
    )
    assert f"{result['flops']['epoch']:,}" in page


def test_the_explained_loss_is_that_of_the_first_step(dlcli: Callable[..., Finished]) -> None:
    """The explained loss is the loss that training logs before its first step."""
    settings = ["training.batch_size=full", "training.epochs=1", "training.precision=float64"]
    for preset in ("digits", "diabetes"):
        explained = json.loads(dlcli("explain", "-c", preset, *settings, "--json").out)
        dlcli("train", "-c", preset, *settings, "--run-dir", preset, "--quiet")
        row = json.loads(Path(preset, "metrics.jsonl").read_text())
        assert explained["batch_loss"] == pytest.approx(row["train/loss"], rel=1e-6)


def test_many_classes_and_many_layers_fit_80_columns(dlcli: Callable[..., Finished]) -> None:
    blobs = "data={name: synthetic_classification, pattern: blobs, n_classes: 300, n_samples: 5000, in_features: 9}"
    done = dlcli("explain", "-c", "moons", blobs, f"model.hidden_sizes={[1024] * 3 + [7] * 9}")
    assert done.code == 0, done.err
    assert "and 290 more" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    result = json.loads(dlcli("explain", "-c", "moons", blobs, "--json").out)
    rows = result["example"]["terms"]
    assert len(rows) == 10
    assert result["example"]["label"] in {row["name"] for row in rows}
    assert all(row["p"] >= next_row["p"] for row, next_row in itertools.pairwise(rows))


def test_regression_is_also_shown_in_the_original_unit(dlcli: Callable[..., Finished]) -> None:
    result = json.loads(dlcli("explain", "-c", "diabetes", "--json").out)
    experiment = api.build_experiment(load_config("diabetes").config)
    for error in result["errors"]:
        assert error["term"] == pytest.approx((error["output"] - error["target"]) ** 2)
        scale, shift = experiment.splits.target_scaling.scale.item(), experiment.splits.target_scaling.shift.item()
        assert error["own_target"] == pytest.approx(error["target"] * scale + shift, rel=1e-6)
        assert error["own_target"] == pytest.approx(round(error["own_target"]), abs=1e-3), "as published"


def test_given_settings_are_explained_with_their_origin_and_defaults_are_counted(
    dlcli: Callable[..., Finished],
) -> None:
    result = json.loads(dlcli("explain", "-c", "digits", "optimizer={name: adam, lr: 0.01}", "--json").out)
    given = {setting["key"]: setting for setting in result["settings"]}
    assert given["optimizer.lr"]["origin"] == "command line"
    assert given["optimizer.lr"]["value"] == "0.01"
    assert "Kingma" in given["optimizer.name"]["means"]
    assert given["model.hidden_sizes"]["origin"].endswith("digits.yaml:8")
    assert "Fashion-MNIST" not in given["data.name"]["lecture"]
    shown = dlcli("config", "show", "digits", "optimizer={name: adam, lr: 0.01}").out
    assert result["defaults"] == sum(line.endswith("# default") for line in shown.splitlines())


@pytest.mark.parametrize("command", ["explain", "gradcheck"])
def test_invalid_configs_and_missing_data_are_reported(dlcli: Callable[..., Finished], command: str) -> None:
    assert dlcli(command).code == 2
    assert dlcli(command, "-c", "digits", "optimizer.lr=-1").code == 2
    absent = dlcli(command, "-c", "fashion_mnist", "data.root=nowhere")
    assert absent.code == 3
    assert "Traceback" not in absent.err
