"""Shell completion of presets, runs, settings with their values, pictures and studies."""

from __future__ import annotations

import os

from dlcli.errors import DlcliError


def complete_config(incomplete: str) -> list[str]:
    """Return the presets whose names start with `incomplete`."""
    from dlcli.config.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


def complete_run(incomplete: str) -> list[str]:
    """Return the names of configs with runs, and the runs of a config whose name ends with a slash."""
    from dlcli.runs.folder import list_runs, runs_root

    try:
        root, folders = runs_root(), list_runs()
    except (DlcliError, OSError):
        return []
    runs = [str(folder.path.relative_to(root)) for folder in reversed(folders)]
    names = runs if "/" in incomplete else dict.fromkeys(run.partition("/")[0] for run in runs)
    return [name for name in names if name.startswith(incomplete)]


def complete_picture(incomplete: str) -> list[str]:
    """Return the pictures whose names start with `incomplete`, for any run."""
    from dlcli.plots.names import PICTURES

    return [name for name in PICTURES if name.startswith(incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """Return the studies whose names start with `incomplete`."""
    from dlcli.lecture.studies.catalogue import STUDIES

    return [name for name in STUDIES if name.startswith(incomplete)]


def complete_setting_name(incomplete: str) -> list[str]:
    """Return the dotted names of settings that start with `incomplete`."""
    from dlcli.config.suggest import all_settings
    from dlcli.config.tree import dotted

    return [name for path in all_settings() if (name := dotted(path)).startswith(incomplete)]


def complete_override(incomplete: str) -> list[str]:
    """Return settings that start with `incomplete`; a single one is returned with its possible or usual values.

    Bash splits words at `=` and replaces only the value; COMP_WORDS holds the words before it.
    """
    if (key := _bash_key(incomplete)) is not None:
        return [value for value in _values(key) if value.startswith(incomplete.lstrip("="))]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in _values(key) if choice.startswith(value)]
    names = complete_setting_name(incomplete)
    return [f"{name}={value}" for name in names for value in _values(name)] if len(names) == 1 else names


def _bash_key(incomplete: str) -> str | None:
    """Return the setting whose value Bash completes; None if it completes no value."""
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
