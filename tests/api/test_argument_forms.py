"""Arguments of the Python functions in the forms that users of notebooks expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dlcli
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
    root = dlcli.load_config("fashion_mnist", {"data.root": Path("/data")}).config.data
    assert root.model_dump()["root"] == "/data"


def test_results_and_open_runs_stand_for_their_run(clean_place: Path) -> None:
    result = dlcli.train(SETTINGS, {"plots": "never"}, run_dir="runs/mine/1")
    assert result.run == "runs/mine/1"
    metrics = dlcli.evaluate(result).metrics
    for run in ("mine", Path("runs/mine/1"), result, dlcli.open_run(result), None):
        assert dlcli.open_run(run).evaluate().metrics == metrics
    assert dlcli.resume(result).nothing_left is not None


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
    ],
)
def test_a_wrong_argument_is_named(clean_place: Path, call: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.message.startswith(message)
    assert caught.value.__notes__ == [f"hint: {caught.value.hint}"], "shown below the message in a notebook"


def test_a_mistake_in_a_dict_is_shown_with_its_place(clean_place: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.hiden_sizes is not a setting") as caught:
        dlcli.load_config({"data": {"name": "digits"}, "model": {"hiden_sizes": [8]}})
    assert "hidden_sizes" in str(caught.value.hint)


def test_dir_lists_the_public_functions() -> None:
    assert dir(dlcli) == sorted(dlcli.__all__)
