"""Loading of sweeps, their overrides and their identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import Finished

from config.sweep.spaces import SPACES, load_space, sweep_file
from dlcli.config.describe import json_schema
from dlcli.config.load import load_config
from dlcli.config.schema import AshaPruner, MedianPruner
from dlcli.config.sweep.load import LoadedSweep, difference, load_either, load_sweep
from dlcli.errors import ConfigError, UsageError

TUNE = """\
extends: digits
sweep:
  space:
    optimizer:
      - {name: sgd, lr: {min: 1e-3, max: 1, log: true}, momentum: [0, 0.5, 0.9]}
      - {name: adam, lr: {min: 1e-4, max: 1e-1, log: true}}
    model.hidden_sizes: [[], [64], [64, 64]]
    optimizer.weight_decay: [0, {min: 1e-6, max: 1e-2, log: true}]
  metric: val/macro_f1
  trials: 20
  pruner: {name: median, min_epochs: 2}
"""


@pytest.fixture(autouse=True)
def _tune(clean_place: Path) -> None:
    Path("tune.yaml").write_text(TUNE)


def test_a_sweep_has_its_base_settings_and_space() -> None:
    sweep = load_sweep("tune.yaml")
    assert sweep.base.config.name == "tune"
    assert sweep.base.config.checkpoint.monitor == sweep.metric == "val/macro_f1"
    assert sweep.base.origin(("checkpoint", "monitor")) == "tune.yaml:9"
    assert sweep.is_maximized
    assert sweep.settings.pruner == MedianPruner(name="median", min_epochs=2)
    assert sweep.settings.trials == 20
    assert sweep.text == TUNE
    trial = sweep.config({"optimizer": {"name": "adam", "lr": 0.01}, "optimizer.weight_decay": 1e-3})
    assert (trial.config.optimizer.name, trial.config.optimizer.weight_decay) == ("adam", 1e-3)
    assert trial.origin(("optimizer", "lr")) == "sweep"


def test_the_metric_is_the_monitor_of_the_checkpoint_by_default() -> None:
    sweep = load_sweep("tune.yaml", ["sweep.metric=null", "checkpoint.monitor=val/loss"])
    assert sweep.metric == sweep.base.config.checkpoint.monitor == "val/loss"
    assert not sweep.is_maximized


def test_overrides_change_the_config_the_sweep_and_its_space() -> None:
    space = ["optimizer={name: [adam, adamw]}", "model.dropout={min: 0, max: 0.5}"]
    sweep = load_sweep("tune.yaml", ["sweep.trials=100", "sweep.sampler=random", "seed=3"], space=space)
    assert (sweep.settings.trials, sweep.settings.sampler, sweep.base.config.seed) == (100, "random", 3)
    keys = ["model.dropout", "model.hidden_sizes", "optimizer.name", "optimizer.weight_decay"]
    assert list(sweep.space.plain()) == keys


def test_the_space_can_come_from_the_command_line_alone() -> None:
    sweep = load_sweep("digits", space=["optimizer.lr={min: 1e-3, max: 1, log: true}"])
    assert sweep.space.plain() == {"optimizer.lr": {"min": 0.001, "max": 1, "log": True}}
    assert sweep.settings.pruner == AshaPruner(name="asha")
    assert load_sweep("digits", ["sweep.space.optimizer.lr={min: 1e-3, max: 1, log: true}"]).space == sweep.space
    nested = Path("nested.yaml")
    nested.write_text("extends: digits\nsweep: {space: {optimizer: {lr: [0.1, 0.2]}}}\n")
    assert load_sweep("nested.yaml", space=["optimizer.lr={min: 1e-3, max: 1, log: true}"]).space == sweep.space


def test_a_sweep_is_extended_setting_by_setting() -> None:
    Path("more.yaml").write_text(
        "extends: tune.yaml\nsweep: {trials: 7, space: {optimizer: {lr: {min: 1, max: 2}}, model.hidden_sizes: null}}\n"
    )
    with pytest.raises(ConfigError, match=r"model\.hidden_sizes has a single value"):
        load_sweep("more.yaml")
    Path("base.yaml").write_text(
        "extends: digits\nsweep: {trials: 9, space: {optimizer: {lr: {min: 0.1, max: 1, log: true}}}}\n"
    )
    Path("more.yaml").write_text(
        "extends: base.yaml\nsweep: {seed: 2, space: {optimizer.lr: {min: 1, max: 2}, model.dropout: [0, 0.5]}}\n"
    )
    sweep = load_sweep("more.yaml")
    assert (sweep.settings.trials, sweep.settings.seed) == (9, 2)
    assert sweep.space.plain() == {"model.dropout": [0, 0.5], "optimizer.lr": {"min": 1, "max": 2}}
    Path("whole.yaml").write_text("extends: base.yaml\nsweep: {space: {optimizer: {lr: {min: 1, max: 2}}}}\n")
    assert load_sweep("whole.yaml").space.plain() == {"optimizer.lr": {"min": 1, "max": 2}}  # no `log` from the base


def test_a_sweep_is_no_config_to_train() -> None:
    with pytest.raises(ConfigError, match="this config describes a sweep") as caught:
        load_config("tune.yaml")
    assert "dlcli sweep -c tune.yaml" in str(caught.value.hint)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 1)
    assert load_config("tune.yaml", ["sweep=null"]).config == load_config("digits", ["name=tune"]).config
    with pytest.raises(UsageError, match="a sweep needs a file or a preset"):
        load_sweep(load_config("digits"))


def test_either_kind_of_config_is_recognized() -> None:
    assert isinstance(load_either("tune.yaml"), LoadedSweep)
    assert load_either("digits") == load_config("digits")
    with pytest.raises(ConfigError, match=r"sweep\.trials must be at least 1"):
        load_either({"data": {"name": "digits"}, "sweep": {"space": {"optimizer.lr": [0.1]}, "trials": 0}})


@pytest.mark.parametrize("name", SPACES)
def test_a_written_sweep_is_the_same_sweep(name: str) -> None:
    sweep = load_space(name, "trials: 3")
    Path("elsewhere").mkdir()
    Path("elsewhere/sweep.yaml").write_text(sweep.to_yaml())
    again = load_sweep("elsewhere/sweep.yaml")
    assert (again.space, again.settings.model_dump()) == (sweep.space, sweep.settings.model_dump())
    assert again.base.config == sweep.base.config
    assert difference(sweep.identity(), again.identity()) == []


def test_defaults_that_depend_on_a_drawn_setting_are_kept_open_in_a_written_sweep() -> None:
    sweep = load_sweep({"data": {"name": "digits"}, "sweep": {"space": {"training.batch_size": [16, "full"]}}})
    Path("again.yaml").write_text(sweep.to_yaml())
    epochs = {size: sweep.config({"training.batch_size": size}).config.training.epochs for size in (16, "full")}
    assert epochs[16] < epochs["full"]
    again = load_sweep("again.yaml")
    assert {size: again.config({"training.batch_size": size}).config.training.epochs for size in (16, "full")} == epochs


def test_paths_of_runs_in_a_space_are_relative_to_its_file() -> None:
    Path("sub/run").mkdir(parents=True)
    Path("sub/s.yaml").write_text("extends: digits\nsweep: {space: {model.init: [normal, {run: run}, {run: other}]}}\n")
    space = load_sweep("sub/s.yaml").space
    assert space.plain()["model.init"] == ["normal", {"run": str(Path("sub/run").resolve())}, {"run": "other"}]


def test_the_difference_of_two_sweeps_names_each_setting_with_both_values() -> None:
    sweep = load_sweep("tune.yaml")
    other = load_sweep(
        "tune.yaml",
        ["sweep.sampler=random", "training.epochs=3", "sweep.trials=99", "training.device=cpu"],
        space=["optimizer.weight_decay=[0, 0.1]", "model.dropout=[0, 0.5]"],
    )
    a, b = (json.loads(json.dumps(loaded.identity())) for loaded in (sweep, other))
    assert difference(a, a) == []
    assert difference(a, b) == [
        "training.epochs is 40 and 3",
        'sweep.sampler is "tpe" and "random"',
        'sweep.space: optimizer.weight_decay is [0,{"log":true,"max":0.01,"min":1e-06}] and [0,0.1]',
        "sweep.space: model.dropout is nothing and [0,0.5]",
    ]


def test_the_schema_for_editors_accepts_sweeps() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    for name in SPACES:
        validator.validate(yaml.safe_load(sweep_file(name, "pruner: asha", "seconds: null")))
        validator.validate(yaml.safe_load(sweep_file(name, "pruner: {name: hyperband, factor: 4}")))
    tree: dict[str, Any] = yaml.safe_load(TUNE)
    validator.validate(tree)
    for wrong in ({"trials": 0}, {"sampler": "best"}, {"trails": 3}, {"pruner": "half"}, {"space": []}):
        assert not validator.is_valid({**tree, "sweep": {**tree["sweep"], **wrong}}), wrong


def test_two_of_many_settings_that_do_not_fit_together_are_reported() -> None:
    keys = ["optimizer.lr", "optimizer.momentum", "model.dropout", "optimizer.weight_decay", "data.normalize"]
    space: dict[str, Any] = {
        **{key: {"min": 0.1, "max": 0.5} for key in keys[:4]},
        "data.normalize": ["unit", "symmetric", "standard", "none"],
        "model.activation": ["relu", "tanh", "sigmoid", "gelu", "silu"],
        "model.init": ["default", "xavier_uniform", "kaiming_normal"],
        "scheduler.warmup_epochs": [0, 1, 2],
        "training.epochs": {"min": 2, "max": 40},
        "training.batch_size": [16, 32, 64, 128],
        "model.batch_norm": [True, False],
    }
    with pytest.raises(ConfigError) as caught:
        load_sweep({"data": {"name": "digits"}, "sweep": {"space": space, "metric": "val/accuracy"}})
    assert [problem.key for problem in caught.value.problems] == ["scheduler.warmup_epochs"]


def test_sweeps_are_validated_on_the_command_line(dlcli: Callable[..., Finished]) -> None:
    assert dlcli("config", "validate", "tune.yaml", "digits").out == "tune.yaml is valid\ndigits is valid\n"
    Path("tune.yaml").write_text(TUNE.replace("trials: 20", "trials: 0"))
    done = dlcli("config", "validate", "tune.yaml")
    assert (done.code, done.out) == (2, "")
    assert "tune.yaml:10:3: sweep.trials must be at least 1. Got 0 instead" in done.err
    for command in (["train", "-c"], ["explain", "-c"], ["config", "show"]):
        assert "this config describes a sweep" in dlcli(*command, "tune.yaml").err


@pytest.mark.parametrize("setting", ["sweep.space", "sweep.pruner.factor", "trials", "sweep"])
def test_settings_of_a_sweep_are_explained(dlcli: Callable[..., Finished], setting: str) -> None:
    assert "means" in dlcli("config", "explain", setting).out
