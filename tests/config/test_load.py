from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlcli.config.load import load_config
from dlcli.config.presets import presets
from dlcli.errors import ConfigError, UsageError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.name=diabetes"], "data.name diabetes is a data source for regression, not for classification"),
        (["loss.name=huber"], "loss.name huber cannot be used for classification"),
        (["optimizer.momentum=0", "optimizer.nesterov=true"], "optimizer.nesterov requires optimizer.momentum above 0"),
        (
            ["training.step=manual", "training.precision=bf16"],
            "training.step cannot be manual with training.precision bf16",
        ),
        (["scheduler.warmup_epochs=40"], "scheduler.warmup_epochs must be less than training.epochs (40)"),
        (["checkpoint.monitor=val/rmse"], "checkpoint.monitor must be one of val/loss, val/accuracy"),
        (["data={name: synthetic_classification, pattern: moons, n_classes: 3}"], "data.n_classes must be 2 for moons"),
        (["data.name=null"], "data.name is missing"),
        (["data=null"], "data is missing"),
        (["seed=4294967296"], "seed must be less than 4294967296"),
        (["optimizer.lr.x=1"], "optimizer.lr.x cannot be set: optimizer.lr is a single value"),
        (["optimizer.lr"], "'optimizer.lr' is not an override"),
        (["optimizer.lr=[1"], "optimizer.lr is not valid YAML"),
        (["name=../up"], "name must be 1 to 64 letters, digits"),
    ],
)
def test_incompatible_settings_are_rejected(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("digits", overrides)
    assert message in str(caught.value)


def test_rules_are_reported_with_other_mistakes_but_never_because_of_them() -> None:
    mistakes = ["training.epocs=3", "optimizer.nesterov=true", "optimizer.momentum=0", "checkpoint.monitor=val/rmse"]
    with pytest.raises(ConfigError) as caught:
        load_config("digits", mistakes)
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {"training.epocs", "optimizer.nesterov", "checkpoint.monitor"}
    with pytest.raises(ConfigError) as caught:
        load_config("digits", ["optimizer.nesterov=true", "optimizer.momentum=0.9.9", "task=regresion"])
    assert {problem.key for problem in caught.value.problems} == {"optimizer.momentum", "task"}


def test_overrides_are_read_as_yaml_and_the_last_one_wins() -> None:
    loaded = load_config("digits", ["optimizer.lr=1e-3", "model.hidden_sizes=[8, 4]", "optimizer.lr=0.25", "name=no"])
    assert loaded.config.optimizer.lr == 0.25
    assert loaded.config.model.hidden_sizes == (8, 4)
    assert loaded.config.name == "no"
    assert loaded.origin(("optimizer", "lr")) == "command line"
    assert loaded.origin(("optimizer", "nesterov")) == "default"
    assert loaded.origin(("data", "name")).startswith("presets/digits.yaml:")


def test_the_brackets_of_a_list_of_columns_may_be_left_out_on_the_command_line(clean_place: Path) -> None:
    table = ["data.name=csv", "data.path=t.csv", "data.target=y"]

    def columns(*overrides: str) -> tuple[object, object]:
        data = load_config({"data": {"name": "csv"}}, [*table, *overrides]).config.data
        return data.ignore, data.features  # type: ignore[union-attr]

    assert columns("data.ignore=date,mm", "data.features=a") == (("date", "mm"), ("a",))
    assert columns("data.ignore=[date, 'm,m']", "data.features=null") == (("date", "m,m"), None)
    with pytest.raises(ConfigError, match=r"data.ignore=\[date\]"):
        load_config({"data": {"name": "csv", "path": "t.csv", "target": "y", "ignore": "date"}})


def test_null_resets_a_setting_or_a_section_to_its_default() -> None:
    config = load_config("digits", ["optimizer=null", "training.epochs=null"]).config
    assert (config.optimizer.lr, config.training.epochs) == (0.1, 239)


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        ([], 239),  # 1,294 examples: 21 steps of 64
        (["training.batch_size=10"], 39),
        (["training.batch_size=1"], 10),
        (["training.batch_size=full"], 1000),
        (["data.val_fraction=0.5"], 417),
        (["training.epochs=3"], 3),
    ],
)
def test_the_default_number_of_epochs_follows_the_size_of_the_data(overrides: list[str], epochs: int) -> None:
    assert load_config("digits", ["training.epochs=null", *overrides]).config.training.epochs == epochs


def test_the_default_batch_size_follows_the_size_of_the_data() -> None:
    training = load_config({"task": "classification", "data": {"name": "fashion_mnist"}}).config.training
    assert (training.batch_size, training.epochs) == (256, 24)
    chosen = load_config("fashion_mnist", ["training.batch_size=64"]).config.training
    assert chosen.batch_size == 64


def test_the_loss_follows_the_task_unless_named(clean_place: Path) -> None:
    assert load_config("digits").config.loss.name == "cross_entropy"
    assert load_config("diabetes").config.loss.name == "mse"
    assert load_config("diabetes", ["loss.name=huber", "loss.delta=2"]).config.loss.name == "huber"
    assert load_config("digits", ["loss.label_smoothing=0.1"]).config.loss.name == "cross_entropy"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digitz", "no config file or preset is called 'digitz'"),
        ("missing.yaml", "cannot read missing.yaml: no such file"),
        ("folder.yaml", "is a folder"),
        ("pipe.yaml", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("large.yaml", "too large"),
        ("latin.yaml", "latin.yaml:1:10: the file is not UTF-8 text"),
        ("nul\0.yaml", "has a NUL character"),
    ],
)
def test_unreadable_configs_are_rejected(clean_place: Path, name: str, words: str) -> None:
    Path("folder.yaml").mkdir()
    os.mkfifo("pipe.yaml")
    Path("large.yaml").write_text("#" * 70_000)
    Path("latin.yaml").write_bytes("name: Schürze".encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        load_config(name)
    assert words in caught.value.message


def test_an_empty_file_gets_a_hint_with_a_minimal_config(clean_place: Path) -> None:
    Path("empty.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load_config("empty.yaml")
    assert "empty.yaml:1:1: data is missing" in caught.value.message
    assert caught.value.hint == "add `data: {name: digits}`"


def test_the_presets_of_a_checkout_are_the_files_in_its_configs_folder() -> None:
    assert list(presets()) == sorted(file.stem for file in (Path(__file__).parents[2] / "configs").glob("*.yaml"))
