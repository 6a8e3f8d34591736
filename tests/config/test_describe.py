from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from config.generate import random_config
from config.snapshots import Case
from config.test_broken import CASES
from dlcli.config.describe import LECTURE, explain, json_schema
from dlcli.config.document import read_document
from dlcli.config.load import load_config
from dlcli.config.presets import presets
from dlcli.config.suggest import all_settings
from dlcli.config.tree import dotted
from dlcli.errors import ConfigError, UsageError

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# Cases that a JSON Schema cannot reject: rules between settings, and conditions outside the document.
BEYOND_A_SCHEMA = {
    "a classification loss on a regression task",
    "data source of the other task",
    "nesterov without momentum",
    "warm-up longer than the run",
    "monitor of the other task",
    "monitor without its split",
    "batch larger than the data",
    "friedman1 with too few features",
    "three moons",
    "extends a missing file",
    "extends an unknown preset",
    "extends itself",
    "a base with an unset variable",
    "a folder as base",
    "a folder with an unset variable",
    "a folder of an unknown user",
    "an empty folder name",
    "a folder with a NUL",
    "warm-up that leaves no step",
    "pictures without a folder",
    "monitor without a validation split",
    "batch norm with single examples",
    "settings of a run to start from without the run",
    "shards with batch normalization",
}


def as_json(tree: Any) -> Any:
    return json.loads(json.dumps(tree))  # tuples become lists


def test_the_schema_is_valid_json_schema_draft_2020_12() -> None:
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("preset", presets())
def test_the_schema_accepts_every_preset(preset: str) -> None:
    tree = read_document(presets()[preset].read_text(encoding="utf-8"), "f").tree
    assert list(VALIDATOR.iter_errors(as_json(tree))) == []


def test_the_schema_accepts_valid_configs() -> None:
    rng = random.Random(0)
    configs = [*(random_config(rng) for _ in range(200)), {"extends": "base.yaml", "optimizer": {"lr": None}}]
    assert [config for config in configs if not VALIDATOR.is_valid(as_json(config))] == []


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_schema_rejects_broken_configs(case: Case) -> None:
    try:
        document = read_document(case.text, "f")
    except ConfigError:
        return  # not valid YAML, so nothing to validate
    if document.problems or case.arguments or case.name in BEYOND_A_SCHEMA:
        return
    assert not VALIDATOR.is_valid(as_json(document.tree))


@pytest.mark.parametrize("setting", [dotted(path) for path in all_settings()])
def test_every_setting_is_explained(setting: str) -> None:
    about = dict(explain(setting))
    assert about["setting"] == setting
    assert len(about["means"]) > 10
    assert "default" in about or len(about) > 2, "a section lists its settings instead of a default"


def test_references_to_the_lecture_belong_to_existing_settings() -> None:
    assert set(LECTURE) <= {dotted(path) for path in all_settings()}
    assert dict(explain("optimizer.lr"))["lecture"].startswith("the learning rate α")


def test_explain_shows_defaults_bounds_and_owners() -> None:
    about = dict(explain("optimizer.weight_decay"))
    assert about["default"] == "0.0 for sgd, adam and rmsprop; 0.01 for adamw"
    assert about["allowed"] == "0 or a number at least 1e-18 and at most 1e+18"
    assert dict(explain("training.batch_size"))["allowed"] == "a whole number at least 1 or full"
    assert dict(explain("optimizer.momentum"))["belongs to"] == "optimizer.name: sgd, rmsprop"


def test_explain_describes_each_choice_of_a_name_and_the_units_of_the_inputs() -> None:
    assert "summed over the classes and averaged over examples" in dict(explain("loss.name"))["mse"]
    assert "pixels of digits 0..16, of other pictures 0..255" in dict(explain("data.normalize"))["means"]


def test_an_unknown_setting_gets_a_similar_one_as_the_hint() -> None:
    with pytest.raises(UsageError) as caught:
        explain("optimizer.momentun")
    assert caught.value.hint == "did you mean `dlcli config explain optimizer.momentum`?"


def test_defaults_that_follow_another_setting_are_explained() -> None:
    default = dict(explain("data.in_features"))["default"]
    assert default == "1 for synthetic_regression, or 10 for its friedman1; 2 for synthetic_classification"
    friedman = {"task": "regression", "data": {"name": "synthetic_regression", "function": "friedman1"}}
    assert load_config(friedman).config.data.model_dump()["in_features"] == 10
    assert dict(explain("name"))["default"] == "the name of the config file"
