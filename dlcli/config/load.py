"""A preset's name or a file, and overrides -> Config, with the origin of every value."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlcli.config.presets import presets
from dlcli.config.rules import violations
from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.source import MAX_BYTES, Document, Path, Place, Value, dotted, read_document, read_value
from dlcli.errors import ConfigError, Problem, UsageError

COMMAND_LINE = Place("command line", None, None)


@dataclass(frozen=True)
class LoadedConfig:
    """A config and how it came about.

    Attributes:
        config: Every value, defaults included.
        text: What the file held, to the letter.
        places: Where each value that is no default was set.
    """

    config: Config
    text: str
    places: Mapping[Path, Place]

    def origin(self, path: Path) -> str:
        """Return `default`, `file:line` or `command line`."""
        place = self.places.get(path)
        if place is None:
            return "default"
        return f"{place.file}:{place.line}" if place.line else place.file


def load_config(source: str | os.PathLike[str], overrides: Sequence[str] = ()) -> LoadedConfig:
    """Return the config that `source` and `overrides` describe.

    Args:
        source: A YAML file, or the name of a preset.
        overrides: `key=value` with dotted keys; values are typed as in YAML, null takes back to the default.

    Raises:
        UsageError: If there is no such file or preset, or it cannot be read.
        ConfigError: With all problems of the config at once.
    """
    file, text = _read_source(os.fspath(source))
    document = read_document(text, file)
    _apply(overrides, document)
    tree = _without_nulls(document.tree)
    if "name" not in tree:
        tree["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", FilePath(file).stem).strip("-._")[:64] or "run"
    config = _validate(tree, file, document)
    broken = [
        _problem(document, rule.path, f"{dotted(rule.path)} {rule.message}", file, rule.hint)
        for rule in violations(config)
    ]
    if broken:
        raise ConfigError(file, broken)
    return LoadedConfig(config, text, document.places)


def _read_source(source: str) -> tuple[str, str]:
    """Return what to call the config, and its text."""
    looks_like_file = os.sep in source or source.endswith((".yaml", ".yml"))
    if looks_like_file or os.path.exists(source):
        return source, _read_file(source)
    known = presets()
    if source not in known:
        guess = difflib.get_close_matches(source, known, n=1)
        raise UsageError(
            f"there is no config file or preset {source!r}",
            hint=f"did you mean `-c {guess[0]}`?" if guess else "`dlcli config list` shows the presets",
        )
    return f"{source}.yaml", known[source].read_text(encoding="utf-8")


def _read_file(name: str) -> str:
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UsageError(f"{name} is {kind}, not a config", hint="give the path of a YAML file")
        if status.st_size > MAX_BYTES:
            raise UsageError(f"{name} is too large for a config: {status.st_size} bytes, at most {MAX_BYTES}")
        return FilePath(name).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read {name}: {(error.strerror or 'unusable name').lower()}",
            hint="`dlcli config list` shows the presets, `dlcli config init` writes a file to start from",
        ) from error
    except ValueError as error:  # a NUL in the name, or bytes that are not UTF-8
        reason = f"not UTF-8 text (byte {error.start})" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UsageError(f"cannot read {name}: {reason}", hint="save the file as UTF-8") from error


# --- overrides ----------------------------------------------------------------------------------------


def _apply(overrides: Sequence[str], document: Document) -> None:
    """Set each `key=value` in the document, in order; the last one wins.

    Raises:
        ConfigError: With all overrides that cannot be read or set.
    """
    problems: list[Problem] = []
    for override in overrides:
        try:
            _set(document, *_read_override(override))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError("command line", problems)


def _read_override(override: str) -> tuple[Path, Value]:
    key, equals, text = override.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        problem = COMMAND_LINE.problem(key, f"{override!r} is not an override", "write it like `optimizer.lr=0.5`")
        raise ConfigError("command line", [problem])
    return path, read_value(text, COMMAND_LINE, key)


def _set(document: Document, path: Path, value: Value) -> None:
    branch = document.tree
    for part in path[:-1]:
        if branch.get(str(part)) is None:
            branch[str(part)] = {}
        deeper = branch[str(part)]
        if not isinstance(deeper, dict):
            problem = COMMAND_LINE.problem(dotted(path), f"{dotted(path)} cannot be set: {part} is a single value")
            raise ConfigError("command line", [problem])
        branch = deeper
    branch[str(path[-1])] = value
    for known in [known for known in document.places if known[: len(path)] == path]:
        del document.places[known]
    document.places.update((inner, COMMAND_LINE) for inner in _paths(value, path))


def _paths(value: Value, path: Path) -> Iterator[Path]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    for key, child in children:
        yield from _paths(child, (*path, key))


def _without_nulls(tree: dict[str, Value]) -> dict[str, Any]:
    """Return the tree without nulls: a null setting is a setting left out."""
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


# --- pydantic's errors in our words -------------------------------------------------------------------


def _validate(tree: dict[str, Any], file: str, document: Document) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [_translate(detail, tree, file, document) for detail in error.errors(include_url=False)]
        problems.sort(key=lambda problem: (problem.line is None, problem.line or 0, problem.column or 0))
        raise ConfigError(file, list(dict.fromkeys(problems))) from None


def _translate(detail: ErrorDetails, tree: dict[str, Any], file: str, document: Document) -> Problem:
    path = _path(detail, tree)
    key, kind, got = dotted(path), detail["type"], _show(detail["input"])
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        hint = _did_you_mean(str(path[-1]), path[:-1], detail["loc"])
        return _problem(document, path, f"{key} is not a setting", file, hint)
    if kind == "missing":
        return _problem(document, path, f"{key} is missing", file, _example(path))
    if kind == "union_tag_not_found":
        return _problem(document, path, f"{key}.name is missing", file, _example((*path, "name")))
    if kind == "union_tag_invalid":
        path, got = (*path, "name"), _show(context["tag"])
        key = dotted(path)
    expected = _EXPECTED.get(kind, detail["msg"][:1].lower() + detail["msg"][1:]).format(
        **{name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    )
    if kind in ("union_tag_invalid", "literal_error"):
        expected = expected.replace("'", "").replace(" or ", ", ")
    hint = None
    if kind in ("union_tag_invalid", "literal_error"):
        hint = _closest(got.strip("'"), expected.removeprefix("must be one of ").split(", "), key)
    return _problem(document, path, f"{key} {expected}. Got {got} instead", file, hint)


_EXPECTED = {
    "union_tag_invalid": "must be one of {expected_tags}",
    "literal_error": "must be one of {expected}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, like [256, 128]",
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a section with settings of its own",
    "model_attributes_type": "must be a section with settings of its own",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "not_accepted": "must be {what}",
}


def _path(detail: ErrorDetails, tree: dict[str, Any]) -> Path:
    """Return pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    branch: Any = tree
    location = detail["loc"]
    for index, part in enumerate(location):
        last_and_missing = index == len(location) - 1 and detail["type"] == "missing"
        if isinstance(branch, dict) and (part in branch or last_and_missing):
            path.append(part)
            branch = branch.get(str(part))
        elif isinstance(branch, tuple) and isinstance(part, int) and part < len(branch):
            path.append(part)
            branch = branch[part]
    return tuple(path)


def _problem(document: Document, path: Path, message: str, file: str, hint: str | None = None) -> Problem:
    """Return the problem at the innermost part of `path` that was written down."""
    for length in range(len(path), 0, -1):
        if place := document.places.get(path[:length]):
            return place.problem(dotted(path), message, hint)
    return Place(file, 1, 1).problem(dotted(path), message, hint)


def _did_you_mean(key: str, parent: Path, location: tuple[int | str, ...]) -> str | None:
    model = _model_at(location[:-1])
    return _closest(key, list(model.model_fields), dotted(parent), is_key=True) if model else None


def _closest(word: str, choices: Sequence[str], key: str, *, is_key: bool = False) -> str | None:
    guess = difflib.get_close_matches(word, choices, n=1)
    if not guess:
        return None
    if is_key:
        return f"did you mean `{'.'.join(part for part in (key, guess[0]) if part)}`?"
    return f"did you mean `{key}={guess[0]}`?"


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the section that stands at pydantic's location; union tags choose the member."""
    model: type[BaseModel] = Config
    candidates: tuple[type[BaseModel], ...] = ()
    for part in location:
        if candidates:
            tagged = [one for one in candidates if section_name(one) == part]
            if not tagged:
                return None
            model, candidates = tagged[0], ()
            continue
        if part not in model.model_fields:
            return None
        members = section_models(model, str(part))
        if len(members) > 1:
            candidates = members
        elif members:
            model = members[0]
    return None if candidates else model


def _example(path: Path) -> str | None:
    return "add `data: {name: digits}`" if path[0] == "data" else None


def _show(value: Any) -> str:
    """Return a value as a user would write it, short."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (tuple, list)):
        text = "[" + ", ".join(_show(one) for one in value) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
