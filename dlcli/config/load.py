"""A preset's name or a file, what it extends, and overrides -> Config, with the origin of every value."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from dlcli.config.presets import presets
from dlcli.config.problems import problems_of
from dlcli.config.rules import violations
from dlcli.config.schema import RENAMED, Config
from dlcli.config.source import MAX_BYTES, Document, Path, Place, Value, dotted, read_document, read_value
from dlcli.errors import ConfigError, Problem, UsageError

COMMAND_LINE = Place("command line")
MAX_CHAIN = 20  # files that extend one another


@dataclass(frozen=True)
class LoadedConfig:
    """A config and how it came about.

    Attributes:
        config: Every value, defaults included.
        text: What the file held, to the letter.
        places: Where each value that is no default was set.
        warnings: What works today and will not for ever: settings by their old names.
    """

    config: Config
    text: str
    places: Mapping[Path, Place]
    warnings: tuple[Problem, ...] = field(default=())

    def origin(self, path: Path) -> str:
        """Return `default`, `file:line` or `command line`."""
        place = self.places.get(path)
        if place is None:
            return "default"
        return f"{place.file}:{place.line}" if place.line else place.file


def load_config(source: str | os.PathLike[str], overrides: Sequence[str] = ()) -> LoadedConfig:
    """Return the config that `source` and `overrides` describe.

    Later wins: defaults, then what `extends` names, then the file, then overrides in their order. Sections are
    merged key by key, lists are replaced as a whole, null takes a setting or a section back to its default.

    Args:
        source: A YAML file, or the name of a preset.
        overrides: `key=value` with dotted keys; values are typed as in YAML.

    Raises:
        UsageError: If there is no such file or preset, or it cannot be read.
        ConfigError: With all problems of the config at once.
    """
    file, text = _read_source(os.fspath(source))
    document = _with_bases(file, text, chain=())
    for override in overrides:
        _apply(override, document)
    warnings = _rename(document)
    tree = _without_nulls(document.tree)
    if "name" not in tree:
        tree["name"] = re.sub(r"[^A-Za-z0-9._-]+", "-", FilePath(file).stem).strip("-._")[:64] or "run"
    problems = document.problems + problems_of(tree, document)
    if not problems:
        config = Config.model_validate(tree)
        problems = [
            document.problem(path, f"{dotted(path)} {message}", hint) for path, message, hint in violations(config)
        ]
    if problems:
        raise ConfigError(file, _in_order(problems, file))
    return LoadedConfig(config, text, document.places, tuple(warnings))


def _in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """Return the problems once each as they stand in the file, then in what it extends, then the command line's."""

    def rank(problem: Problem) -> tuple[int, str, int, int]:
        group = 0 if problem.file == file else 2 if problem.file == COMMAND_LINE.file else 1
        return group, problem.file, problem.line or 0, problem.column or 0

    return sorted(dict.fromkeys(problems), key=rank)


# --- files --------------------------------------------------------------------------------------------


def _read_source(source: str) -> tuple[str, str]:
    """Return what to call the config, and its text."""
    known = presets()
    is_path = os.sep in source or source.endswith((".yaml", ".yml"))  # anything else is a preset first
    if is_path or (source not in known and os.path.exists(source)):
        return source, _read_file(source)
    if source not in known:
        guess = difflib.get_close_matches(source, known, n=1)
        raise UsageError(
            f"there is no config file or preset {source!r}",
            hint=f"did you mean `{guess[0]}`?" if guess else "`dlcli config list` shows the presets",
        )
    return f"{source}.yaml", known[source].read_text(encoding="utf-8")


def _read_file(name: str) -> str:
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise UsageError(f"{name} is {kind}, not a config", hint="give the path of a YAML file")
        with open(name, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"cannot read {name}: {reason.lower()}",
            hint="`dlcli config list` shows the presets, `dlcli config init` writes a file to start from",
        ) from error
    if len(content) > MAX_BYTES:
        message = f"the file is too large for a config: over {MAX_BYTES:,} bytes"
        raise ConfigError(name, [Place(name, 1, 1).problem("", message, "the largest preset has 1 KB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        place = Place(name, line, column)
        raise ConfigError(name, [place.problem("", "the file is not UTF-8 text", "save the file as UTF-8")]) from error


def _with_bases(file: str, text: str, chain: tuple[str, ...]) -> Document:
    """Return the document with what it extends merged in beneath it.

    Args:
        file: What the config is called.
        text: YAML.
        chain: The files that led here.
    """
    document = read_document(text, file)
    place = document.places.pop(("extends",), None)
    extended = document.tree.pop("extends", None)
    if place is None or extended is None:
        return document
    chain = (*chain, file)
    try:
        base_file, base_text = _read_base(extended, file)
        if _identity(base_file) in [_identity(one) for one in chain]:
            raise UsageError(
                f"extends goes in a circle: {' → '.join((*chain, base_file))}", hint="let one of them extend nothing"
            )
        if len(chain) >= MAX_CHAIN:
            raise UsageError(f"extends goes through more than {MAX_CHAIN} files", hint="write fewer, larger files")
        base = _with_bases(base_file, base_text, chain)
    except ConfigError:
        raise
    except UsageError as error:
        raise ConfigError(file, [*document.problems, place.problem("extends", error.message, error.hint)]) from error
    base.file = file
    base.problems += document.problems
    for key in document.tree:
        _merge(base, document, (key,))
    return base


def _read_base(extended: Value, file: str) -> tuple[str, str]:
    if not isinstance(extended, str):
        raise UsageError(
            "extends must be the path of a file, or a preset's name", hint="write it like `extends: base.yaml`"
        )
    is_path = os.sep in extended or extended.endswith((".yaml", ".yml"))
    return _read_source(os.path.join(os.path.dirname(file), extended) if is_path else extended)


def _identity(file: str) -> str:
    return os.path.realpath(file)


def _merge(base: Document, above: Document, path: Path) -> None:
    """Put what `above` has at `path` over what `base` has there: sections key by key, all else as a whole."""
    value, beneath = _at(above.tree, path), _at(base.tree, path)
    if isinstance(value, dict) and value and isinstance(beneath, dict):
        base.places[path] = above.places[path]
        for key in value:
            _merge(base, above, (*path, key))
    else:
        _set(base, path, value, {inner: place for inner, place in above.places.items() if inner[: len(path)] == path})


def _at(tree: dict[str, Value], path: Path) -> Value:
    value: Value = tree
    for part in path:
        value = value.get(str(part)) if isinstance(value, dict) else None
    return value


def _set(document: Document, path: Path, value: Value, places: Mapping[Path, Place]) -> None:
    """Set a value whose parents are sections, and forget where the parts of the old one stood."""
    parent = _at(document.tree, path[:-1])
    assert isinstance(parent, dict)
    parent[str(path[-1])] = value
    for known in [known for known in document.places if known[: len(path)] == path]:
        del document.places[known]
    document.places.update(places)


# --- overrides and renamed settings -------------------------------------------------------------------


def _apply(override: str, document: Document) -> None:
    """Set a `key=value` in the document; what is wrong with it is noted there."""
    key, equals, text = override.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        message = f"{override!r} is not an override"
        document.problems.append(COMMAND_LINE.problem(key, message, "write it like `optimizer.lr=0.5`"))
        return
    try:
        value = read_value(text, COMMAND_LINE, key)
    except ConfigError as error:
        document.problems += error.problems
        return
    for length in range(1, len(path)):
        parent = _at(document.tree, path[:length])
        if parent is None:
            _set(document, path[:length], {}, {path[:length]: COMMAND_LINE})
        elif not isinstance(parent, dict):
            message = f"{key} cannot be set: {dotted(path[:length])} is a single value"
            document.problems.append(COMMAND_LINE.problem(key, message, f"`{path[0]}=null` takes it back first"))
            return
    _set(document, path, value, dict.fromkeys(_paths(value, path), COMMAND_LINE))


def _paths(value: Value, path: Path) -> list[Path]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    return [path, *(inner for key, child in children for inner in _paths(child, (*path, key)))]


def _rename(document: Document) -> list[Problem]:
    """Move settings from their old names to their new ones, and return a warning for each."""
    warnings: list[Problem] = []
    for old, new in RENAMED.items():
        old_path, new_path = tuple(old.split(".")), tuple(new.split("."))
        parent = _at(document.tree, old_path[:-1])
        if not isinstance(parent, dict) or old_path[-1] not in parent:
            continue
        value, place = parent.pop(old_path[-1]), document.places.pop(old_path)
        if _at(document.tree, new_path) is not None:
            message = f"{old} is the old name of {new}, which is set too"
            document.problems.append(place.problem(old, message, f"delete `{old}`"))
            continue
        warnings.append(place.problem(old, f"{old} is now called {new}", f"write `{new}`; the old name will go"))
        if not isinstance(_at(document.tree, new_path[:-1]), dict):
            _set(document, new_path[:-1], {}, {})
        _set(document, new_path, value, {new_path: place})
    return warnings


def _without_nulls(tree: dict[str, Value]) -> dict[str, Any]:
    """Return the tree without nulls: a null setting is a setting left out."""
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }
