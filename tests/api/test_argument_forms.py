"""Arguments of the Python functions in the forms that users of notebooks expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcli
from dlcli import api
from dlcli.errors import ConfigError, UsageError

SETTINGS = {
    "task": "classification",
    "data": {"name": "digits"},
    "model": {"hidden_sizes": (8,)},
    "optimizer": {"lr": 1e-5},
    "training": {"epochs": 1},
}


def test_a_config_is_a_preset_a_file_or_a_dict_and_overrides_are_a_list_or_a_dict(clean_place: Path) -> None:
    config = dlcli.load_config(SETTINGS).config
    assert (config.model.hidden_sizes, config.optimizer.lr, config.name) == ((8,), 1e-5, "config")
    assert dlcli.load_config({"extends": "digits"}).config.training.epochs == 40
    listed = dlcli.load_config("digits", ["optimizer.lr=0.5", "model.hidden_sizes=[4, 2]", "name=mine"]).config
    given = dlcli.load_config("digits", {"optimizer.lr": 0.5, "model.hidden_sizes": [4, 2], "name": "mine"}).config
    assert given == listed
    numbers = {"model.hidden_sizes": np.array([4, 2]), "optimizer.lr": np.float64(0.5), "seed": np.int64(0)}
    assert dlcli.load_config("digits", {**numbers, "name": "mine"}).config == listed
    assert dlcli.load_config("digits", {"model.hidden_sizes": range(3, 1, -1)}).config.model.hidden_sizes == (3, 2)
    root = dlcli.load_config("fashion_mnist", {"data.root": Path("/data")}).config.data
    assert root.model_dump()["root"] == "/data"


def test_results_and_open_runs_stand_for_their_run(clean_place: Path) -> None:
    result = dlcli.train(SETTINGS, {"plots": "never"}, run_dir="runs/mine/1")
    assert result.run == "runs/mine/1"
    metrics = dlcli.evaluate(result).metrics
    for run in ("mine", Path("runs/mine/1"), result, dlcli.open_run(result), None):
        assert dlcli.open_run(run).evaluate().metrics == metrics
    assert dlcli.resume(result).nothing_left is not None
    assert dlcli.resume(result, {"training.epochs": np.int64(2)}).epochs == 2
    indices = [record["index"] for record in dlcli.predict(result, np.arange(2), event="8").predictions]
    assert indices == [0, 1]
    assert all(type(index) is int for index in indices)
    assert list(dlcli.draw(result, "loss", folder="pictures", formats="svg").files) == ["loss"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dlcli.evaluate(3), "a run must be a folder, a name or a result of dlcli. Got int instead"),
        (lambda: dlcli.train(3), "a config must be a file, the name of a preset or a dict. Got int instead"),
        (
            lambda: dlcli.train("digits", "seed=1"),
            "overrides must be a list of key=value or a dict. Got 'seed=1'",
        ),
        (lambda: dlcli.train("digits", [1]), "overrides must be a list"),
        (lambda: dlcli.train("digits", epochs=3), "train() has no argument 'epochs'"),
        (lambda: dlcli.load_config({"seed": object()}), "a config cannot contain this value"),
        (lambda: dlcli.train(), "train() needs the argument 'source'"),
        (lambda: dlcli.train("digits", run_dir=3), "run_dir must be text or a path. Got 3 instead"),
        (lambda: dlcli.train("digits", 3), "overrides must be a list of key=value or a dict. Got 3 instead"),
        (lambda: dlcli.train("digits", listeners=3), "listeners must be a Listeners. Got 3 instead"),
        (lambda: dlcli.load_config("digits", lr=3), "load_config() has no argument 'lr'"),
        (lambda: dlcli.evaluate("r", split="tst"), "split must be train, val or test. Got 'tst' instead"),
        (lambda: dlcli.evaluate("r", checkpoint="x"), "checkpoint must be best or last. Got 'x' instead"),
        (lambda: dlcli.evaluate("r", notify=3), "notify must be a function. Got 3 instead"),
        (lambda: dlcli.evaluate("r", run="r"), "evaluate() has the argument 'run' twice"),
        (lambda: dlcli.predict("r", "0"), "indices must be a list of whole numbers. Got '0' instead"),
        (lambda: dlcli.draw("r", 3), "names must be a list of texts. Got 3 instead"),
        (lambda: api.study(vary="seed=1,2", seeds="3"), "seeds must be a whole number. Got '3' instead"),
        (lambda: api.build_experiment("digits"), "config must be a Config. Got 'digits' instead"),
        (lambda: api.compare_figure(["r"]), "compare_figure() needs the argument 'output'"),
    ],
)
def test_a_wrong_argument_is_named(clean_place: Path, call: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.message.startswith(message)
    assert caught.value.__notes__ == [f"hint: {caught.value.hint}"], "shown below the message in a notebook"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: dlcli.evaluate("r", "val"), "write `evaluate('digits', split='val')`"),
        (lambda: dlcli.evaluate("r", splt="val"), "did you mean `evaluate('digits', split='val')`?"),
        (lambda: dlcli.evaluate("r", checkpoint="lst"), "did you mean `checkpoint='last'`?"),
        (lambda: dlcli.train("digits", epochs=3), "pass settings as a dict: train('digits', {'training.epochs': 3})"),
        (
            lambda: api.compare_figure(["r"]),
            "write it like `compare_figure(['digits', 'moons'], 'FILE')`",
        ),
        (lambda: api.OpenRun.evaluate(None, "val"), "write `run.evaluate(split='val')`"),
    ],
)
def test_a_wrong_argument_is_corrected(call: Any, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.hint == hint


@pytest.mark.parametrize("name", [name for name in api.__all__ if name.islower()])
def test_every_public_function_checks_its_arguments(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}\(\) has no argument 'xyzzy'"):
        getattr(api, name)(xyzzy=1)


def test_a_mistake_in_a_dict_is_shown_with_its_place(clean_place: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.hiden_sizes is not a setting") as caught:
        dlcli.load_config({"data": {"name": "digits"}, "model": {"hiden_sizes": [8]}})
    assert "hidden_sizes" in str(caught.value.hint)


def test_dir_lists_the_public_functions() -> None:
    assert dir(dlcli) == sorted(dlcli.__all__)


@pytest.mark.parametrize("package", [dlcli, api])
def test_no_public_name_is_that_of_a_module(package: Any) -> None:
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert modules.isdisjoint(package.__all__), "importing such a module would replace the function"
