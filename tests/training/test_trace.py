"""Traces of gradients and saturation, compared with autograd and explicit definitions."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from dlcli.api import Experiment, build_experiment, train
from dlcli.config.load import load_config
from dlcli.runs.log import read_traces
from dlcli.training.trace import Tracer, is_traced


def experiment_for(preset: str, *settings: str) -> Experiment:
    return build_experiment(load_config(preset, ["training.device=cpu", *settings]).config)


def test_traces_become_less_frequent_with_the_epoch() -> None:
    traced = [epoch for epoch in range(1, 41) if is_traced(epoch)]
    assert traced == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40]
    assert sum(map(is_traced, range(1, 100_001))) < 70


def test_gradients_match_autograd_and_saturation_matches_its_definition() -> None:
    experiment = experiment_for("digits", "model.hidden_sizes=[12, 7]", "model.init=normal", "model.dropout=0.4")
    layers = Tracer(experiment.model, experiment.task, experiment.splits).look().layers
    model, n = copy.deepcopy(experiment.model).eval(), len(experiment.splits.train)
    index = torch.tensor([round(i * (n - 1) / 255) for i in range(256)])
    inputs = experiment.splits.train.inputs[index]
    nn.functional.cross_entropy(model(inputs), experiment.splits.train.targets[index]).backward()
    linears = [module for module in model if isinstance(module, nn.Linear)]
    for layer, linear in zip(layers, linears, strict=True):
        assert linear.weight.grad is not None
        assert layer.gradient_norm == pytest.approx(linear.weight.grad.norm().item(), rel=1e-5)
        assert layer.weight_norm == pytest.approx(linear.weight.norm().item(), rel=1e-6)
    hidden = torch.sigmoid(linears[0](inputs))
    expected = (hidden * (1 - hidden) < 0.05 / 4).float().mean().item()
    assert layers[0].saturated == pytest.approx(expected)
    assert 0.2 < expected < 0.9
    assert layers[-1].saturated is None


@pytest.mark.parametrize(("activation", "saturates"), [("tanh", True), ("relu", True), ("gelu", False)])
def test_saturation_is_measured_only_for_saturating_activations(activation: str, saturates: bool) -> None:
    experiment = experiment_for("digits", f"model.activation={activation}")
    first, last = Tracer(experiment.model, experiment.task, experiment.splits).look().layers
    assert (first.saturated is not None, last.saturated) == (saturates, None)


def test_prediction_paths_are_recorded_only_for_three_classes(clean_place: Path) -> None:
    data = "data={name: synthetic_classification, pattern: spirals, n_classes: 3}"
    train(load_config("moons", [data, "training.epochs=9"]), run_dir=Path("three"))
    traces = read_traces(Path("three"), 9)
    assert list(traces) == [1, 2, 3, 4, 5, 6, 7, 8]
    for trace in traces.values():
        assert len(trace.paths) == 6
        assert all(len(path) == 3 and math.isclose(sum(path), 1) for path in trace.paths)
    assert traces[8].paths != traces[1].paths
    experiment = experiment_for("moons")
    assert Tracer(experiment.model, experiment.task, experiment.splits).look().paths == ()


def test_damaged_trace_is_read_up_to_the_damage(clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=4"]), run_dir=Path("run"))
    lines = Path("run/trace.jsonl").read_text().splitlines()
    for third in (
        "{",
        "null",
        "[]",
        json.dumps({"epoch": 3}),
        lines[0],
        lines[2].replace('"epoch": 3', '"epoch": 1e999'),
    ):
        Path("run/trace.jsonl").write_text("\n".join([*lines[:2], third, lines[3]]))
        assert list(read_traces(Path("run"), 4)) == [1, 2]
    assert list(read_traces(Path("nowhere"), 4)) == []
