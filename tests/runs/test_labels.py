"""Labels of compared runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dlcli.config.load import load_config
from dlcli.config.render import flatten
from dlcli.runs.labels import label_runs


def run(*overrides: str, preset: str = "digits", path: str = "runs/digits/one") -> Any:
    loaded = load_config(preset, overrides)
    origins = {key: loaded.origin(tuple(key.split("."))) for key in flatten(loaded.config)}
    return SimpleNamespace(config=loaded.config, origins=origins, path=path)


@pytest.mark.parametrize(
    ("overrides", "labels"),
    [
        ((["model.activation=relu"], ["model.activation=tanh"]), ["relu", "tanh"]),
        (
            (["model.activation=relu", "optimizer.lr=0.1"], ["model.activation=tanh", "optimizer.lr=0.01"]),
            ["relu, lr 0.1", "tanh, lr 0.01"],
        ),
        ((["seed=1"], ["seed=2"], ["seed=3"]), ["seed 1", "seed 2", "seed 3"]),
        ((["seed=1"], ["seed=2", "model.activation=relu"]), ["sigmoid, seed 1", "relu, seed 2"]),
        ((["optimizer={name: sgd}"], ["optimizer={name: adam}"]), ["sgd", "adam"]),
        ((["optimizer={name: sgd, lr: 0.3}"], ["optimizer={name: adam}"]), ["sgd, lr 0.3", "adam, lr 0.001"]),
        ((["scheduler=null"], ["scheduler={name: cosine}"]), ["scheduler none", "cosine"]),
        ((["model.hidden_sizes=[]"], ["model.hidden_sizes=[64, 32]"]), ["linear", "hidden 64-32"]),
        ((["optimizer.nesterov=true"], ["optimizer.nesterov=false"]), ["nesterov", "no nesterov"]),
        ((["model.activation=relu"], ["model.activation=relu"], []), ["relu (1)", "relu (2)", "sigmoid"]),
        ((["training.threads=1"], ["plots=never", "training.device=cpu"]), ["threads 1", "threads auto"]),
    ],
)
def test_runs_are_labelled_by_the_settings_that_differ(overrides: Any, labels: list[str]) -> None:
    assert label_runs([run(*settings) for settings in overrides]) == labels


def test_runs_with_the_same_settings_are_labelled_by_their_names() -> None:
    assert label_runs([run(path="runs/digits/before"), run(path="runs/digits/after")]) == ["before", "after"]
    assert label_runs([run("name=a"), run("name=b")]) == ["a", "b"]
    assert label_runs([run(), run()]) == ["digits 1", "digits 2"]


def test_runs_with_many_differences_are_labelled_by_their_configs() -> None:
    assert label_runs([run(), run(preset="moons")]) == ["digits", "moons"]
    many = ["optimizer.lr=0.3", "model.activation=relu", "training.batch_size=32", "model.init=zeros"]
    assert label_runs([run(), run(*many), run(preset="moons")]) == ["digits 1", "digits 2", "moons"]
