from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from config.generate import random_config
from config.test_broken import CASES, Case
from dlcli.config.describe import LECTURE, explain, json_schema
from dlcli.config.document import read_document
from dlcli.config.presets import presets
from dlcli.config.suggest import all_settings
from dlcli.config.tree import dotted
from dlcli.errors import ConfigError, UsageError

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
# What a schema of single settings cannot see: rules between settings, YAML itself, how a number was written.
BEYOND_A_SCHEMA = {
    "a classification loss on a regression task",
    "data of the other task",
    "nesterov without momentum",
    "warm-up longer than the run",
    "monitor of the other task",
    "monitor without its split",
    "batch larger than the data",
    "friedman1 with too few features",
    "three moons",
    "extends what is not there",
    "extends a preset that is none",
    "extends itself",
    "a base by a variable that is not set",
    "a folder for a base",
    "a folder by a variable that is not set",
    "a folder of a user there is not",
    "an empty folder name",
    "a folder with a NUL",
    "warm-up that leaves no step",
}


def as_json(tree: Any) -> Any:
    return json.loads(json.dumps(tree))  # tuples become lists


def test_it_is_a_schema_of_draft_2020_12() -> None:
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("preset", presets())
def test_the_schema_accepts_every_preset(preset: str) -> None:
    tree = read_document(presets()[preset].read_text(encoding="utf-8"), "f").tree
    assert list(VALIDATOR.iter_errors(as_json(tree))) == []


def test_the_schema_accepts_valid_configs() -> None:
    rng = random.Random(0)
    configs = [*(random_config(rng) for _ in range(200)), {"extends": "base.yaml", "optimizer": {"lr": None}}]
    assert [one for one in configs if not VALIDATOR.is_valid(as_json(one))] == []


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_schema_refuses_what_is_broken_in_itself(case: Case) -> None:
    try:
        document = read_document(case.text, "f")
    except ConfigError:
        return  # no YAML, so nothing for a schema to look at
    if document.problems or case.overrides or case.name in BEYOND_A_SCHEMA:
        return
    assert not VALIDATOR.is_valid(as_json(document.tree))


@pytest.mark.parametrize("setting", [dotted(path) for path in all_settings()])
def test_every_setting_is_explained(setting: str) -> None:
    about = dict(explain(setting))
    assert about["setting"] == setting
    assert len(about["means"]) > 10
    assert "default" in about or len(about) > 2, "a section has its settings instead"


def test_what_the_lecture_says_is_found_under_settings_that_exist() -> None:
    assert set(LECTURE) <= {dotted(path) for path in all_settings()}
    assert dict(explain("optimizer.lr"))["lecture"].startswith("the learning rate α")


def test_explain_tells_defaults_bounds_and_owners() -> None:
    about = dict(explain("optimizer.weight_decay"))
    assert about["default"] == "0.0 for sgd and adam, 0.01 for adamw"
    assert about["allowed"] == "0 or a number at least 1e-18 and at most 1e+18"
    assert dict(explain("training.batch_size"))["allowed"] == "a whole number at least 1 or full"
    assert dict(explain("optimizer.momentum"))["belongs to"] == "optimizer.name: sgd"


def test_explain_tells_what_each_choice_of_a_name_is_and_in_what_unit_inputs_are() -> None:
    assert "summed over the classes, mean over examples" in dict(explain("loss.name"))["mse"]
    assert "pixels of fashion_mnist 0..255, of digits 0..16" in dict(explain("data.normalize"))["means"]


def test_a_setting_that_is_none_is_answered_with_one_like_it() -> None:
    with pytest.raises(UsageError) as caught:
        explain("optimizer.momentun")
    assert caught.value.hint == "did you mean `dlcli config explain optimizer.momentum`?"
