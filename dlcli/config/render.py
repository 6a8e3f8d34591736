"""YAML output of configs, with a comment on every value."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from dlcli.config.paths import escape_path
from dlcli.config.scalars import read_scalar
from dlcli.config.schema import Config, is_path_setting
from dlcli.config.tree import KeyPath, Value
from dlcli.errors import one_line

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*")


def render_yaml(model: BaseModel, comment: Callable[[BaseModel, str, KeyPath], str]) -> str:
    """Return `model` as YAML.

    Args:
        model: Config or section to write.
        comment: Called with the section, the field and its path; returns the comment after the value, or "" for none.
    """
    rows = list(_rows(model, (), comment))
    width = min(max((len(text) for text, note in rows if note), default=0), 44)
    lines = (f"{text:<{width}}  # {one_line(note)}" if note else text for text, note in rows)
    return "\n".join(lines) + "\n"


def render_explained(model: BaseModel, explain: Callable[[type[BaseModel], str], str], width: int = 88) -> str:
    """Return `model` as YAML with an explanation above every setting.

    Args:
        model: Config or section to write.
        explain: Called with the section and the field; returns the explanation.
        width: Maximum length of the explanation's lines.
    """
    lines: list[str] = []
    for text, note in _rows(model, (), lambda section, field, _: explain(type(section), field)):
        indent = text[: len(text) - len(text.lstrip())]
        if text.endswith(":") and not indent:
            lines.append("")
        lines += textwrap.wrap(note, width, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        lines.append(text)
    return "\n".join(lines) + "\n"


def _rows(
    model: BaseModel, path: KeyPath, comment: Callable[[BaseModel, str, KeyPath], str]
) -> Iterator[tuple[str, str]]:
    for field in sorted(type(model).model_fields, key=lambda field: field not in ("schema_version", "name")):
        value = getattr(model, field)
        inner_path = (*path, field)
        indent = "  " * len(path)
        if isinstance(value, BaseModel):
            yield f"{indent}{field}:", ""
            yield from _rows(value, inner_path, comment)
        else:
            written = escape_path(value) if isinstance(value, str) and is_path_setting(type(model), field) else value
            yield f"{indent}{field}: {render_value(written)}", comment(model, field, inner_path)


def read_origins(model: BaseModel, text: str) -> dict[str, str]:
    """Return the comments that `render_yaml` wrote after the values, by the dotted names of the settings.

    In the resolved config of a run, these comments are the origins of the values.

    Args:
        model: Config that `text` contains.
        text: Output of `render_yaml`; settings whose line was edited since are left out.
    """
    origins: dict[str, str] = {}
    lines = text.split("\n")
    for row, name in _rows(model, (), lambda _section, _field, path: ".".join(map(str, path))):
        index = next((i for i, line in enumerate(lines) if line == row or line.startswith(f"{row} ")), None)
        if index is not None:
            origins[name] = lines[index].removeprefix(row).strip().removeprefix("# ")
            lines = lines[index + 1 :]
    return {name: origin for name, origin in origins.items() if name and origin}


def render_value(value: Any) -> str:
    """Return the value of a setting as YAML 1.2 on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _render_text(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{render_value(key)}: {render_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(render_value(item) for item in value) + "]"
    return repr(value)


def _render_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not text.endswith(":") and read_scalar(text) == text:
        return text
    escaped = "".join(
        f"\\{character}" if character in '"\\' else character if character.isprintable() else f"\\U{ord(character):08x}"
        for character in text
    )
    return f'"{escaped}"'


def flatten(model: BaseModel, path: KeyPath = ()) -> dict[str, Value]:
    """Return the value of every setting of `model`, by dotted name."""
    settings: dict[str, Value] = {}
    for field in type(model).model_fields:
        value = getattr(model, field)
        if isinstance(value, BaseModel):
            settings |= flatten(value, (*path, field))
        else:
            settings[".".join(str(part) for part in (*path, field))] = value
    return settings


# Settings that do not change the results of a run, except for rounding. Files are checked by content, not by path.
_FILES = ("data.root", "data.path", "data.train", "data.val", "data.test")
_IRRELEVANT = (
    "name",
    *_FILES,
    "model.init.run",
    "training.device",
    "training.together",
    "training.timeout_seconds",
    "checkpoint.every_seconds",
    "plots",
)


def deciding_settings(config: Config) -> dict[str, Value]:
    """Return the settings that determine the results of a run, by dotted name."""
    return {key: value for key, value in flatten(config).items() if is_deciding(key)}


def is_deciding(key: str) -> bool:
    """Return whether a setting affects the results of a run."""
    return key not in _IRRELEVANT


# Settings whose values, such as `relu`, are clear without the name of the setting. Names of sections are clear too.
_CHOICES = ("task", "data.pattern", "data.function", "model.activation", "model.init", "model.head")
_UNCLEAR = ("none", "default")  # choices that are not clear without the name of their setting
_SHORT = {
    "hidden_sizes": "hidden",
    "batch_size": "batch",
    "gradient_clip_norm": "clip",
    "n_samples": "samples",
    "val_fraction": "val",
}


def is_choice(key: str) -> bool:
    """Return whether the value of a setting is clear without the name of the setting."""
    return key.endswith(".name") or key in _CHOICES


def name_setting(key: str) -> str:
    """Return a short name of a setting: `activation`, `lr`, `hidden`, `scheduler`."""
    section, _, field = key.rpartition(".")
    name = section if field == "name" else field
    return _SHORT.get(name, name.replace("_", " "))


def name_value(value: Value) -> str:
    """Return a value of a setting in a word: `relu`, `0.1`, `64-32`, `none`."""
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return "-".join(map(str, value)) or "linear"  # only the hidden sizes can be empty
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value.replace("_", " ") if isinstance(value, str) else render_value(value)


def describe_setting(key: str, value: Value) -> str:
    """Return a setting with its value in a few words: `relu`, `lr 0.1`, `hidden 64-32`, `linear`, `no nesterov`."""
    name = name_setting(key)
    if value == () or (is_choice(key) and value not in _UNCLEAR):
        return name_value(value)
    if value is None or isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {name_value(value)}"
