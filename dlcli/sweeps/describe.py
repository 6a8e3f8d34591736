"""Texts about the settings and the parameters of a sweep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.render import describe_setting, render_value
from dlcli.config.sweep.nodes import Label, canonical_json
from dlcli.config.sweep.space import Space

_OPTION = re.compile(r"\[(\d+)\]")  # index of an option in the name of a parameter
_MOST_LETTERS = 24  # largest length of the name of an option


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return overrides in a few words: `adam, lr 0.036, hidden 64-64`."""
    flat = _flatten(settings).items()
    return ", ".join(
        describe_setting(key, _shorten(tuple(value) if isinstance(value, list) else value)) for key, value in flat
    )


def list_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each override by its dotted key, with shortened numbers; in a section, `name` comes first."""
    return {key: as_typed(value) for key, value in _flatten(settings).items()}


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            inner = _flatten(value)
            flat |= {f"{key}.{name}": inner[name] for name in sorted(inner, key=lambda name: name != "name")}
        else:
            flat[key] = value
    return flat


def as_typed(value: Any) -> str:
    """Return the value of a setting as a user would type it, with a shortened number."""
    return render_value(value) if isinstance(value, str) else canonical_json(_shorten(value))


def _shorten(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def name_parameters(space: Space) -> dict[str, str]:
    """Return the display name of each parameter, such as `optimizer.lr (adam)` for `optimizer[1].lr`."""
    options = {
        parameter.name: name_options(parameter.choices) for parameter in space.parameters if parameter.kind == "choice"
    }
    names = {}
    for parameter in space.parameters:
        name = parameter.name
        chosen = [options[name[: match.start()]][int(match[1])] for match in _OPTION.finditer(name)]
        suffix = f" ({', '.join(chosen)})" if chosen else ""
        names[name] = f"{_OPTION.sub('', name)}{suffix}"
    return names


def name_options(choices: Sequence[Label]) -> list[str]:
    """Return a short text for each option: `adam` for `{"lr":…,"name":"adam"}`; equal texts are numbered."""
    is_json = any(isinstance(label, str) and label[:1] in ("{", "[") for label in choices)
    texts = [_name_option(_parse(label) if is_json else label) for label in choices]
    return [f"{text} ({i})" if texts.count(text) > 1 else text for i, text in enumerate(texts, 1)]


def _parse(label: Label) -> Any:
    """Return the option that a JSON text stands for."""
    try:
        return json.loads(str(label))
    except ValueError:  # not JSON: one of these texts begins with a bracket
        return label


def _name_option(value: Any) -> str:
    if isinstance(value, dict) and {"min", "max"} <= value.keys():
        return f"{value['min']:g} to {value['max']:g}"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return str(value["name"])
    text = as_typed(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
