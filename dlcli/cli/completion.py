"""Shell completion of presets, runs, settings with their values, pictures and studies."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import typer

from dlcli.errors import DlcliError


def complete_config(incomplete: str) -> list[str]:
    """Return the presets and the YAML files whose names start with `incomplete`."""
    from dlcli.config.files import config_files
    from dlcli.config.presets import presets

    return [name for name in (*presets(), *config_files(os.path.dirname(incomplete))) if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Return the names of configs with runs; after a slash, the runs of a config or the seeds of a group."""
    from dlcli.runs.find import list_groups, list_runs, own_run_names
    from dlcli.runs.folder import runs_root

    try:
        root, folders, own = runs_root(), [*list_groups(), *list_runs()], own_run_names()
    except (DlcliError, OSError):
        return []
    if seeds := _complete_seed(root, incomplete):
        return seeds
    runs = [str(folder.path.relative_to(root)) for folder in reversed(folders)]
    names = runs if "/" in incomplete else dict.fromkeys([*(run.partition("/")[0] for run in runs), *own])
    found = [name for name in names if name.startswith(incomplete)]
    return found or [path for name in own if (path := str(root / name)).startswith(incomplete)]


def _complete_seed(root: Path, incomplete: str) -> list[str]:
    """Return the seeds of the group that `incomplete` names before its last slash; none if it names no group."""
    from dlcli.runs.folder import GroupFolder

    group, slash, _ = incomplete.rpartition("/")
    for path in (Path(group), root / group) if slash else ():
        with suppress(DlcliError, OSError, ValueError):
            names = [f"{group}/{seed}" for seed in GroupFolder(path).read_seeds()]
            return [name for name in names if name.startswith(incomplete)]
    return []


def complete_picture(incomplete: str) -> list[str]:
    """Return the pictures whose names start with `incomplete`, for any run."""
    from dlcli.plots.names import PICTURES

    return [name for name in PICTURES if name.startswith(incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """Return the studies whose names start with `incomplete`; if there is none, the configs, for `--vary`."""
    from dlcli.lecture.studies.catalogue import STUDIES

    if _bash_key(incomplete):  # Bash has split `--vary KEY=VALUE`
        return complete_vary(incomplete)
    return [name for name in STUDIES if name.startswith(incomplete)] or complete_config(incomplete)


def complete_setting_name(incomplete: str) -> list[str]:
    """Return the dotted names of settings that start with `incomplete`."""
    from dlcli.config.suggest import all_settings
    from dlcli.config.tree import dotted

    return [name for path in all_settings() if (name := dotted(path)).startswith(incomplete)]


def complete_override(incomplete: str) -> list[str]:
    """Return settings that start with `incomplete`; a single setting is returned with its possible or usual values.

    Bash splits words at `=` and replaces only the value; COMP_WORDS holds the words before it.
    """
    if (key := _bash_key(incomplete)) is not None:
        return [value for value in _values(key) if value.startswith(incomplete.lstrip("="))]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in _values(key) if choice.startswith(value)]
    names = complete_setting_name(incomplete)
    return [f"{name}={value}" for name in names for value in _values(name)] if len(names) == 1 else names


def complete_first_override(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return settings as `complete_override` does; if no config is given yet, also or only configs."""
    if ctx.params.get("config") or ctx.params.get("overrides") or "=" in incomplete or _bash_key(incomplete):
        return complete_override(incomplete)
    configs = complete_config(incomplete)
    return [*configs, *complete_override(incomplete)] if incomplete else configs


def complete_vary(incomplete: str) -> list[str]:
    """Return settings as `complete_override` does, where commas separate several values."""
    before, comma, last = incomplete.rpartition(",")
    key = _bash_key(incomplete)
    if not comma or (key is None and "=" not in before):
        return complete_override(incomplete)
    values = _values(before.partition("=")[0] if key is None else key)
    return [f"{before},{value}" for value in values if value.startswith(last)]


def _bash_key(incomplete: str) -> str | None:
    """Return the setting whose value Bash completes; None if Bash does not complete a value."""
    words, number = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    if not number.isdigit() or not 2 < int(number) + 1 <= len(words) + 1:
        return None
    before = words[: int(number)]
    if incomplete == "=" or words[int(number) : int(number) + 1] == ["="]:
        return before[-1]
    return before[-2] if before[-1] == "=" else None


def _values(key: str) -> list[str]:
    from dlcli.config.describe import usual_values

    return usual_values(key)
