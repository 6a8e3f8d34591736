"""Configs that extend other files, and renamed settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config.load import load_config
from dlcli.config.schema import AdamOptimizer, AdamWOptimizer
from dlcli.errors import ConfigError


@pytest.fixture
def files(clean_place: Path) -> Path:
    (clean_place / "base").mkdir()
    Path("base/root.yaml").write_text(
        "data: {name: digits}\nmodel: {hidden_sizes: [64, 32], dropout: 0.5}\noptimizer: {lr: 0.5, momentum: 0.5}\n"
    )
    Path("base/middle.yaml").write_text("extends: root.yaml\nmodel:\n  hidden_sizes: [8]\ntraining: {epochs: 3}\n")
    Path("mine.yaml").write_text("extends: base/middle.yaml\noptimizer:\n  lr: 0.25\nmodel: {dropout: null}\n")
    return clean_place


def test_later_sources_override_earlier_ones_by_key_and_origins_are_recorded(files: Path) -> None:
    loaded = load_config("mine.yaml", ["training.epochs=5"])
    config = loaded.config
    assert (config.optimizer.lr, config.training.epochs, config.name) == (0.25, 5, "mine")
    assert config.optimizer.model_dump()["momentum"] == 0.5
    assert config.model.hidden_sizes == (8,), "a list is replaced as a whole"
    assert config.model.dropout == 0.0, "null resets to the default, not to the base"
    assert loaded.origin(("optimizer", "lr")) == "mine.yaml:3"
    assert loaded.origin(("optimizer", "momentum")) == "base/root.yaml:3"
    assert loaded.origin(("model", "hidden_sizes")) == "base/middle.yaml:3"
    assert loaded.origin(("training", "epochs")) == "command line"
    assert loaded.text.startswith("extends:"), "the run stores the given text"


def test_an_empty_section_changes_nothing_and_an_override_replaces_a_whole_section(files: Path) -> None:
    Path("mine.yaml").write_text("extends: base/middle.yaml\noptimizer: {}\n")
    assert load_config("mine.yaml").config.optimizer.model_dump()["momentum"] == 0.5
    assert load_config("mine.yaml", ["optimizer={lr: 0.1}"]).config.optimizer.model_dump()["momentum"] == 0.9


def test_a_preset_can_be_extended(clean_place: Path) -> None:
    Path("moons.yaml").write_text("extends: moons\ntraining: {epochs: 2}\n")  # the same name is not a cycle
    config = load_config("moons.yaml").config
    assert (config.data.name, config.training.epochs) == ("synthetic_classification", 2)


def test_problems_name_the_file_they_occur_in(files: Path) -> None:
    Path("base/root.yaml").write_text("data: {name: digits}\nmodell: {}\nseed: 1\nseed: 2\n")
    Path("mine.yaml").write_text("extends: base/middle.yaml\noptimiser: {lr: 1}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml", ["sead=1"])
    assert [problem.place for problem in caught.value.problems] == [
        "mine.yaml:2:1",
        "base/root.yaml:2:1",
        "base/root.yaml:4:1",
        "command line",
    ]


def test_cycles_of_extends_are_rejected_with_their_path(files: Path) -> None:
    Path("base/root.yaml").write_text("extends: ../mine.yaml\n")
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml")
    assert "mine.yaml → base/middle.yaml → base/root.yaml → base/../mine.yaml" in str(caught.value)
    assert caught.value.problems[0].place == "base/root.yaml:1:1"


def test_a_chain_of_extends_is_limited(clean_place: Path) -> None:
    for i in range(30):
        Path(f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    with pytest.raises(ConfigError, match="more than 20 files"):
        load_config("0.yaml")


def test_another_variant_of_a_section_requires_removing_the_old_settings(files: Path) -> None:
    Path("mine.yaml").write_text("extends: base/middle.yaml\noptimizer: {name: adam}\n")
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml")
    assert "base/root.yaml:3:22: optimizer.momentum is not a setting of adam" in str(caught.value)
    assert "delete it or set `optimizer.momentum=null`" in str(caught.value.hint)
    Path("mine.yaml").write_text("extends: base/middle.yaml\noptimizer: {name: adam, momentum: null}\n")
    assert load_config("mine.yaml").config.optimizer.name == "adam"


def test_an_override_that_chooses_another_variant_drops_the_settings_of_the_old_one_with_a_note(files: Path) -> None:
    loaded = load_config("digits", ["optimizer.name=adam", "training.epochs=1"])
    assert loaded.config.optimizer == AdamOptimizer(name="adam"), "a learning rate for SGD is not one for Adam"
    assert loaded.notes == (
        "optimizer.name=adam: optimizer.lr=0.2 and optimizer.momentum=0.9 of presets/digits.yaml are for sgd and not "
        "used",
    )
    Path("adam.yaml").write_text("data: {name: digits}\noptimizer: {name: adam, lr: 0.5, betas: [0.5, 0.5]}\n")
    optimizer = load_config("adam.yaml", ["optimizer.name=adamw"]).config.optimizer
    assert optimizer == AdamWOptimizer(name="adamw", lr=0.5, betas=(0.5, 0.5)), "these mean the same for AdamW"
    data = load_config("moons", ["data.name=digits", "data.val_fraction=0.3"]).config.data
    assert (data.name, data.val_fraction) == ("digits", 0.3)
    assert load_config("digits", ["optimizer.name=sgd"]).notes == ()


def test_an_override_that_chooses_another_variant_keeps_what_was_typed_and_unknown_settings(files: Path) -> None:
    assert load_config("digits", ["optimizer.lr=0.5", "optimizer.name=adam"]).config.optimizer.lr == 0.5
    with pytest.raises(ConfigError, match=r"command line: optimizer\.momentum is not a setting of adam"):
        load_config("digits", ["optimizer.momentum=0.5", "optimizer.name=adam"])
    Path("typo.yaml").write_text("data: {name: digits}\noptimizer: {momentun: 0.5}\n")
    with pytest.raises(ConfigError, match=r"typo\.yaml:2:13: optimizer\.momentun is not a setting"):
        load_config("typo.yaml", ["optimizer.name=adam"])
