"""JSON Schema of configs, and explanations of single settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from dlcli.config.render import render_value
from dlcli.config.schema import (
    DEFAULT_LOSS,
    FRIEDMAN_FEATURES,
    LARGE_BATCH,
    LEAST_EPOCHS,
    MANY_EXAMPLES,
    MOST_EPOCHS,
    USUAL_STEPS,
    Config,
    SweepFile,
    explain_setting,
    section_models,
    section_name,
    setting_owners,
)
from dlcli.config.suggest import all_settings, closest, find_setting
from dlcli.config.tree import KeyPath, dotted
from dlcli.errors import UsageError
from dlcli.text import join

# References to the course's lecture, in its notation.
LECTURE = {
    "task": "regression asks how many, classification asks which one",
    "data.name": "Fashion-MNIST is the lecture's data set: greyscale images X, ten classes of clothing Y",
    "data.pad": "the images on the slide are 32×32: `pad: 2`",
    "model.hidden_sizes": "[] is the linear model f(x, θ) = θᵀ x̄; with hidden layers the loss is not quadratic",
    "model.activation": "the Heaviside step has no useful gradient; the sigmoid σ(z) = 1 / (1 + e^-z) is a smooth step",
    "model.init": "gradient descent starts with θ ← N(0, 1): `init: normal`",
    "model.head": "many functions map to the simplex, e.g. dividing by the L1 norm, or softmax, which learns faster",
    "loss.name": "cross-entropy is the part of KL(P, Q) that depends on θ; squared error can work, but not well",
    "loss.label_smoothing": "with smoothed labels Σ P log P is not 0: the loss is KL(P, Q) plus a constant",
    "optimizer.name": "θ ← θ − α J, with J = ∇_θ L(X, Y, θ)",
    "optimizer.lr": "the learning rate α in θ ← θ − α J",
    "training.epochs": "with `batch_size: full`, the number of iterations t",
    "training.batch_size": "`full` is gradient descent on the whole set (X, Y); smaller batches make it stochastic",
    "seed": "seeds the draw θ ← N(0, 1)",
}

# Defaults that depend on other settings.
_DERIVED = {
    "name": "the name of the config file",
    "loss.name": ", ".join(f"{loss} for {task}" for task, loss in DEFAULT_LOSS.items()),
    "training.epochs": f"{LEAST_EPOCHS} to {MOST_EPOCHS:,}, for about {USUAL_STEPS:,} steps",
    "training.batch_size": f"64, or {LARGE_BATCH} with more than {MANY_EXAMPLES:,} training examples",
    "data.in_features": (
        f"1 for synthetic_regression, or {FRIEDMAN_FEATURES} for its friedman1; 2 for synthetic_classification"
    ),
    "sweep.metric": "checkpoint.monitor",
    "sweep.pruner": "asha",
    "sweep.pruner.name": "asha",
    "sweep.trials": "50, or all combinations for a grid",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file, for completion and validation in an editor.

    The schema covers keys, types, bounds and choices, but not the rules between settings.
    """
    schema, sweep = Config.model_json_schema(), SweepFile.model_json_schema()
    schema["$defs"] |= sweep["$defs"]
    schema["properties"] |= sweep["properties"]
    for name, definition in schema["$defs"].items():
        properties = {key: _any_of(value) for key, value in definition["properties"].items()}
        if name in ("CrossEntropyLoss", "MseLoss"):  # without a name, the task selects the loss
            definition["required"].remove("name")
        definition["properties"] = {key: _or_null(value) for key, value in properties.items()}
    del schema["required"]  # `data` may be in an extended file, and the task selects a loss
    schema["properties"] = {key: _or_null(_any_of(value)) for key, value in schema["properties"].items()}
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Base config: a file (relative to this one) or a preset, whose settings this file overrides.",
    }
    schema["anyOf"] = [{"required": ["data"]}, {"required": ["extends"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "dlcli config"}


def _any_of(property_: dict[str, Any]) -> dict[str, Any]:
    """Return a union without its discriminator, because several variants match a section without a name."""
    if "oneOf" not in property_:
        return property_
    rest = {key: value for key, value in property_.items() if key not in ("oneOf", "discriminator")}
    return {**rest, "anyOf": property_["oneOf"]}


def _or_null(property_: dict[str, Any]) -> dict[str, Any]:
    """Return the property with null allowed; null resets a setting to its default."""
    about = {key: value for key, value in property_.items() if key in ("description", "default")}
    rest = {key: value for key, value in property_.items() if key not in (*about, "title")}
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {**about, "anyOf": choices if {"type": "null"} in choices else [*choices, {"type": "null"}]}


def explain(name: str) -> list[tuple[str, str]]:
    """Return the explanation of a setting or section as pairs of heading and text.

    Args:
        name: Dotted name as on the command line, e.g. `optimizer.momentum`; `momentum` alone is enough.

    Raises:
        UsageError: If the setting does not exist.
    """
    path: KeyPath = tuple(name.split("."))
    if len(path) == 1 and not setting_owners(path) and (setting := find_setting(name)):
        return explain(setting)
    owners = setting_owners(path)
    if not owners:
        guess = closest(name, [dotted(setting) for setting in all_settings()])
        raise UsageError(
            f"unknown setting {name!r}",
            hint=f"did you mean `dlcli config explain {guess}`?"
            if guess
            else "run `dlcli config init` to see all settings",
        )
    model, field = owners[0], str(path[-1])
    about = [("setting", dotted(path)), ("means", explain_setting(model, field))]
    is_tag = len(path) > 1 and field == "name"  # the explanation lists the choices already
    if is_tag:
        about += [(section_name(owner), " ".join((owner.__doc__ or "").split())) for owner in owners]
    sections = section_models(model, field)
    is_nested = sections and len(path) > 1  # the value is a name or a mapping with settings
    if sections:
        about += [
            (section_name(section) if len(sections) > 1 else "settings", _contents(section)) for section in sections
        ]
    if is_nested or not sections:
        about += [("default", _default(path, owners)), ("allowed", "" if is_tag else _allowed(model, field))]
    if len(path) == 2 and 0 < len(owners) < len(section_models(Config, str(path[0]))):
        about.append(("belongs to", f"{path[0]}.name: {', '.join(section_name(owner) for owner in owners)}"))
    if name in LECTURE:
        about.append(("lecture", LECTURE[name]))
    return [(heading, text) for heading, text in about if text]


def _contents(section: type[BaseModel]) -> str:
    settings = ", ".join(field for field in section.model_fields if field != "name")
    return f"{' '.join((section.__doc__ or '').split())} Settings: {settings or 'none'}."


def _default(path: KeyPath, owners: Sequence[type[BaseModel]]) -> str:
    if dotted(path) in _DERIVED:
        return _DERIVED[dotted(path)]
    defaults: dict[str, list[type[BaseModel]]] = {}
    for model in owners:
        info = model.model_fields[str(path[-1])]
        if not info.is_required():
            defaults.setdefault(render_value(info.default), []).append(model)
    if not defaults:
        return "none (required)"
    if len(defaults) == 1:
        return str(next(iter(defaults)))
    return "; ".join(f"{value} for {join(map(section_name, models))}" for value, models in defaults.items())


def _allowed(model: type[BaseModel], field: str) -> str:
    """Return the allowed type and bounds of a setting in words."""
    schema = model.model_json_schema()["properties"][field]
    choices = _choices(schema)
    options = [option for option in choices if option.get("type") != "null"]
    words = [_in_words(option) for option in options]
    if len(options) < len(choices):
        words.append("null")
    return " or ".join(word for word in dict.fromkeys(words) if word)


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of a union, or the schema itself."""
    choices: list[dict[str, Any]] = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return choices


def _in_words(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return "a mapping of settings"
    if "enum" in schema:
        return "" if len(schema["enum"]) > 2 else " or ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_in_words(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "object": "a mapping",
    }
    if schema.get("type") == "array":
        inner = schema.get("items") or schema.get("prefixItems", [{}])[0]
        if "anyOf" in inner:
            return f"a list, each entry {_in_words(inner)}"
        return f"a list of {_in_words(inner).removeprefix('a ').replace('number', 'numbers', 1)}"
    bounds = [
        text.format(schema[key])
        for key, text in (
            ("minimum", "at least {}"),
            ("exclusiveMinimum", "greater than {}"),
            ("maximum", "at most {}"),
            ("exclusiveMaximum", "less than {}"),
        )
        if key in schema
    ]
    return " ".join([kind.get(schema.get("type", ""), "a value"), *([" and ".join(bounds)] if bounds else [])])


def usual_values(name: str) -> list[str]:
    """Return the values of a setting that can be listed, followed by its default; empty if there are neither."""
    path: KeyPath = tuple(name.split("."))
    values: dict[str, None] = {}
    for model in setting_owners(path):
        schema = model.model_json_schema()["properties"].get(str(path[-1]), {})
        for option in _choices(schema):
            listed = option.get("enum", [option["const"]] if "const" in option else [])
            listed = [False, True] if option.get("type") == "boolean" else listed
            values |= dict.fromkeys(render_value(value) for value in listed)
        default = model.model_fields[str(path[-1])].default
        if isinstance(default, (bool, int, float, str, tuple)):
            values.setdefault(render_value(default).replace(", ", ","))  # a space would need quotes in a shell
    return list(values)
