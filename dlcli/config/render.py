"""Config -> YAML that reads back as the same config, with a comment on every value."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from dlcli.config.paths import escape_path
from dlcli.config.scalars import read_scalar
from dlcli.config.schema import Config, is_path_setting
from dlcli.config.tree import Path, Value
from dlcli.errors import one_line

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*")


def render_yaml(model: BaseModel, comment: Callable[[BaseModel, str, Path], str]) -> str:
    """Return `model` as YAML.

    Args:
        model: A config or a section of one.
        comment: Given the section, the field and its path, what to say behind the value; "" for nothing.
    """
    rows = list(_rows(model, (), comment))
    width = min(max((len(text) for text, note in rows if note), default=0), 44)
    lines = (f"{text:<{width}}  # {one_line(note)}" if note else text for text, note in rows)
    return "\n".join(lines) + "\n"


def render_explained(model: BaseModel, explain: Callable[[type[BaseModel], str], str], width: int = 88) -> str:
    """Return `model` as YAML with an explanation above every setting.

    Args:
        model: A config or a section of one.
        explain: Given the section and the field, what to say above it.
        width: Of the longest line of explanation.
    """
    lines: list[str] = []
    for text, note in _rows(model, (), lambda section, field, _: explain(type(section), field)):
        indent = text[: len(text) - len(text.lstrip())]
        if text.endswith(":") and not indent:
            lines.append("")
        lines += textwrap.wrap(note, width, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        lines.append(text)
    return "\n".join(lines) + "\n"


def _rows(model: BaseModel, path: Path, comment: Callable[[BaseModel, str, Path], str]) -> Iterator[tuple[str, str]]:
    for field in sorted(type(model).model_fields, key=lambda field: field not in ("schema_version", "name")):
        value = getattr(model, field)
        here = (*path, field)
        indent = "  " * len(path)
        if isinstance(value, BaseModel):
            yield f"{indent}{field}:", ""
            yield from _rows(value, here, comment)
        else:
            written = escape_path(value) if isinstance(value, str) and is_path_setting(type(model), field) else value
            yield f"{indent}{field}: {render_value(written)}", comment(model, field, here)


def read_origins(model: BaseModel, text: str) -> dict[str, str]:
    """Return what `render_yaml` put behind each value, by the setting's dotted name: in a run, where it came from.

    Args:
        model: What `text` describes.
        text: Written by `render_yaml`; a setting on a line that was changed since is left out.
    """
    origins: dict[str, str] = {}
    lines = text.split("\n")
    for row, name in _rows(model, (), lambda _section, _field, path: ".".join(map(str, path))):
        at = next((i for i, line in enumerate(lines) if line == row or line.startswith(f"{row} ")), None)
        if at is not None:
            origins[name] = lines[at].removeprefix(row).strip().removeprefix("# ")
            lines = lines[at + 1 :]
    return {name: origin for name, origin in origins.items() if name and origin}


def render_value(value: Any) -> str:
    """Return a setting's value as YAML 1.2 on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _render_text(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(render_value(one) for one in value) + "]"
    return repr(value)


def _render_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not text.endswith(":") and read_scalar(text) == text:
        return text
    escaped = "".join(
        f"\\{character}" if character in '"\\' else character if character.isprintable() else f"\\U{ord(character):08x}"
        for character in text
    )
    return f'"{escaped}"'


def flatten(model: BaseModel, path: Path = ()) -> dict[str, Value]:
    """Return every setting of `model` by its dotted name."""
    settings: dict[str, Value] = {}
    for field in type(model).model_fields:
        value = getattr(model, field)
        if isinstance(value, BaseModel):
            settings |= flatten(value, (*path, field))
        else:
            settings[".".join(str(part) for part in (*path, field))] = value
    return settings


# Settings that decide no number, or nothing but its last bits: where a run lies, where it computes, how often it saves,
# whether it draws.
_INDIFFERENT = ("name", "data.root", "training.device", "checkpoint.every_seconds", "plots")


def deciding_settings(config: Config) -> dict[str, Value]:
    """Return the settings that decide what a run comes to, by their dotted names."""
    return {key: value for key, value in flatten(config).items() if key not in _INDIFFERENT}
