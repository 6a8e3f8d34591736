"""Loading of configs from files, presets and overrides, with the origin of every value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dlcli.config.compose import (
    apply_override,
    read_with_bases,
    resolve_paths,
    set_override,
    without_nulls,
)
from dlcli.config.files import Source, read_source
from dlcli.config.paths import as_argument, expand_path
from dlcli.config.problems import validate
from dlcli.config.schema import Config, is_run_name
from dlcli.config.tree import COMMAND_LINE, Document, KeyPath, Place
from dlcli.config.variants import changes_of_variants
from dlcli.errors import ConfigError, Problem, UsageError

SWEEP = "sweep"  # section of a config that describes a sweep


@dataclass(frozen=True)
class LoadedConfig:
    """Validated config with the origin of every value.

    Attributes:
        config: All settings, defaults included.
        text: Exact text of the config file.
        places: Location of each value that is not a default.
        notes: Notes about settings that are not used.
    """

    config: Config
    text: str
    places: Mapping[KeyPath, Place]
    notes: tuple[str, ...] = ()

    def origin(self, path: KeyPath) -> str:
        """Return the origin of a value: `default`, `file:line` or `command line`."""
        place = self.places.get(path)
        if place is None:
            return "default"
        return f"{place.file}:{place.line}" if place.line else place.file


ConfigSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Source | LoadedConfig
Overrides: TypeAlias = Sequence[str] | Mapping[str, Any]


def load_config(source: ConfigSource, overrides: Overrides = ()) -> LoadedConfig:
    """Load a config from a file or preset and apply overrides.

    Later sources take precedence: defaults, the file named by `extends`, the file, the overrides in their order.
    Sections are merged key by key. Lists, and values set by an override, are replaced as a whole. null resets a setting
    or a section to its default. Where an override chooses another variant of a section, such as another optimizer, the
    settings of the old one are left out, with a note. Paths in a file are relative to that file, paths in overrides to
    the working folder.

    Args:
        source: YAML file, name of a preset, settings as a dict, or a `Source` with its text. A string is expanded by
            `expand_path`; a Path object is used unchanged. A loaded config is returned unchanged.
        overrides: Assignments `key=value` with dotted keys and YAML values, or a dict of dotted keys and values.

    Raises:
        UsageError: If no such file or preset exists, or it cannot be read.
        ConfigError: If the config is invalid; lists all problems at once.
        ValueError: If there are overrides for a loaded config.
    """
    if isinstance(source, LoadedConfig):
        if overrides:
            raise ValueError("overrides cannot be applied to a loaded config; pass them to load_config")
        return source
    given = read_given(source)
    document = read_with_bases(given)
    override(document, as_assignments(overrides))
    if document.tree.get(SWEEP) is not None:
        hint = (
            f"run `dlcli sweep -c {as_argument(given.name)}`, or use the config without its sweep with `{SWEEP}=null`"
        )
        raise ConfigError(given.name, [document.problem((SWEEP,), "this config describes a sweep", hint)])
    return finish(document, given.text)


def override(document: Document, assignments: Sequence[str]) -> None:
    """Apply assignments `key=value` to a document in the given order; add problems to the document."""
    with changes_of_variants(document):
        for assignment in assignments:
            apply_override(assignment, document)


def with_values(document: Document, values: Mapping[str, Any]) -> Document:
    """Return a copy of a document after applying `values`, by dotted key, like overrides."""
    changed = document.copy()
    with changes_of_variants(changed):
        for key, value in values.items():
            set_override(changed, tuple(key.split(".")), value)
    return changed


def finish(document: Document, text: str) -> LoadedConfig:
    """Return the validated config of a document.

    Raises:
        ConfigError: If the config is invalid; lists all problems at once.
    """
    config, problems = check(document)
    if config is None or problems:
        raise ConfigError(document.file, in_order(problems, document.file))
    return LoadedConfig(config, text, document.places, tuple(document.notes))


def check(document: Document) -> tuple[Config | None, list[Problem]]:
    """Return the config of a document and all its problems; the config is None if a setting is invalid."""
    tree = without_nulls(document.tree)
    if "name" not in tree:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(document.file).stem)[:64].strip("-._")
        tree["name"] = name if is_run_name(name) else "run"
    return validate(tree, document, document.problems + resolve_paths(tree, document))


def read_given(source: str | os.PathLike[str] | Mapping[str, Any] | Source) -> Source:
    """Return the text of a config that is given in any form of `load_config`, except as a loaded config."""
    if isinstance(source, Source):
        return source
    if isinstance(source, Mapping):
        return Source("config", _to_yaml(source, indent=2), "")
    if isinstance(source, str):
        return read_source(expand_path(source, "the config path"))
    if isinstance(source, os.PathLike):
        return read_source(os.fspath(source))
    raise UsageError(
        f"a config must be a file, the name of a preset or a dict. Got {type(source).__name__} instead",
        hint="write it like `dlcli.train('digits')` or `dlcli.train({'data': {'name': 'digits'}})`",
    )


def as_assignments(overrides: Overrides) -> Sequence[str]:
    """Return overrides as assignments `key=value`."""
    if isinstance(overrides, Mapping):
        return [f"{key}={_to_yaml(value)}" for key, value in overrides.items()]
    if not isinstance(overrides, (list, tuple)) or not all(isinstance(override, str) for override in overrides):
        message = f"overrides must be a list of key=value or a dict. Got {overrides!r} instead"
        raise UsageError(message, hint="write it like `['optimizer.lr=0.5']` or `{'optimizer.lr': 0.5}`")
    return overrides


def _to_yaml(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, which is YAML."""
    try:
        return json.dumps(value, default=_to_plain, indent=indent, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a config cannot contain this value: {error}", hint="use numbers, text and lists") from error


def _to_plain(value: Any) -> Any:
    """Convert a path, a range, or a NumPy or torch scalar or array to a type that JSON supports.

    Raises:
        TypeError: If the value has another type.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, range):
        return list(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(repr(value))


def in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """Return each problem once: first problems in `file`, then in the files that it extends, then on the command line.

    Problems in the same file are sorted by line and column.
    """

    def rank(problem: Problem) -> tuple[int, str, int, int]:
        group = 0 if problem.file == file else 2 if problem.file == COMMAND_LINE.file else 1
        return group, problem.file, problem.line or 0, problem.column or 0

    return sorted(dict.fromkeys(problems), key=rank)
