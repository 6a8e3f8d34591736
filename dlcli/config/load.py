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

from pydantic import ValidationError

from dlcli.config.presets import presets
from dlcli.config.problems import problems_of
from dlcli.config.rules import violations
from dlcli.config.schema import Config
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
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(file, problems_of(error, tree, document)) from None
    if broken := list(violations(config)):
        raise ConfigError(
            file, [document.problem(path, f"{dotted(path)} {message}", hint) for path, message, hint in broken]
        )
    return LoadedConfig(config, text, document.places)


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
