"""A preset's name or a file, what it extends, and overrides -> Config, with the origin of every value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from dlcli.config.compose import (
    COMMAND_LINE,
    apply_override,
    read_with_bases,
    rename_settings,
    resolve_paths,
    without_nulls,
)
from dlcli.config.files import read_source
from dlcli.config.paths import expand_path
from dlcli.config.problems import broken_rules, problems_of
from dlcli.config.schema import Config, is_run_name
from dlcli.config.tree import Path, Place
from dlcli.errors import ConfigError, Problem


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
    merged key by key, lists are replaced as a whole, and so is what an override names; null takes a setting or a
    section back to its default. Paths are relative to the file they stand in, an override's to the working folder.

    Args:
        source: A YAML file, or the name of a preset; text is expanded as `expand_path` says, a Path is taken as it is.
        overrides: `key=value` with dotted keys; values are typed as in YAML.

    Raises:
        UsageError: If there is no such file or preset, or it cannot be read.
        ConfigError: With all problems of the config at once.
    """
    given = read_source(expand_path(source, "the config") if isinstance(source, str) else os.fspath(source))
    file, document = given.name, read_with_bases(given)
    for override in overrides:
        apply_override(override, document)
    warnings = rename_settings(document)
    tree = without_nulls(document.tree)
    if "name" not in tree:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", FilePath(file).stem)[:64].strip("-._")
        tree["name"] = name if is_run_name(name) else "run"
    problems = document.problems + resolve_paths(tree, document)
    problems += problems_of(tree, document)
    problems += broken_rules(tree, problems, document)
    if problems:
        raise ConfigError(file, _in_order(problems, file))
    config = Config.model_validate(tree)
    return LoadedConfig(config, given.text, document.places, tuple(warnings))


def _in_order(problems: Sequence[Problem], file: str) -> list[Problem]:
    """Return the problems once each as they stand in the file, then in what it extends, then the command line's."""

    def rank(problem: Problem) -> tuple[int, str, int, int]:
        group = 0 if problem.file == file else 2 if problem.file == COMMAND_LINE.file else 1
        return group, problem.file, problem.line or 0, problem.column or 0

    return sorted(dict.fromkeys(problems), key=rank)
