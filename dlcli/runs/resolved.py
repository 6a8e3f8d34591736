"""resolved.yaml: every setting of a run with its origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dlcli.config.load import LoadedConfig
from dlcli.config.render import read_origins, render_yaml
from dlcli.config.schema import Config
from dlcli.config.tree import KeyPath
from dlcli.runs.files import encode_text, write_atomic
from dlcli.runs.folder import RunFolder

_RAISED = "raised when the run was resumed"
_OF_GROUP = "seed of the group"
_PLACES: dict[str, KeyPath] = {"epochs": ("training", "epochs"), "patience": ("early_stopping", "patience")}


def write_resolved(folder: RunFolder, config: Config, origin: Callable[[KeyPath], str]) -> None:
    """Write resolved.yaml; a path of data inside the run folder is written relative to the folder.

    Args:
        folder: Run folder.
        config: Config to write.
        origin: Function that returns the origin of the setting at a path.

    Raises:
        DataError: If the file cannot be written.
    """
    text = render_yaml(_with_relative_data(folder, config), lambda _section, _field, path: origin(path))
    write_atomic(folder.resolved, encode_text(f"# Every setting of this run, and where it came from.\n{text}"))


def write_resolved_member(group: RunFolder, resolved: LoadedConfig, member: RunFolder, seed: int) -> None:
    """Write resolved.yaml of a member of a group.

    Args:
        group: Folder of the group.
        resolved: Content of resolved.yaml of the group.
        member: Folder of the member as a run.
        seed: Seed of the member.

    Raises:
        DataError: If the file cannot be written.
    """
    origins = read_origins(_with_relative_data(group, resolved.config), resolved.text) | {"seed": _OF_GROUP}
    config = resolved.config.model_copy(update={"seed": seed})
    if _is_inside(group, config):
        config = config.with_layout({"path": str(member.data.resolve())})
    write_resolved(member, config, lambda path: origins.get(".".join(map(str, path)), ""))


def record_limits(folder: RunFolder, resolved: LoadedConfig, limits: Mapping[str, int | None]) -> None:
    """Update the limits of training in resolved.yaml; the origins of other settings are kept.

    Args:
        folder: Run folder.
        resolved: Current content of resolved.yaml.
        limits: New values of `epochs` and `patience`.

    Raises:
        DataError: If the file cannot be written.
    """
    config = resolved.config
    origins = read_origins(_with_relative_data(folder, config), resolved.text)
    for name, (section, field) in _PLACES.items():
        part = getattr(config, str(section))
        if getattr(part, str(field)) != limits[name]:
            changed = part.model_copy(update={str(field): limits[name]})
            config = config.model_copy(update={str(section): changed})
            origins[f"{section}.{field}"] = _RAISED
    if config != resolved.config:
        write_resolved(folder, config, lambda path: origins.get(".".join(map(str, path)), ""))


def _with_relative_data(folder: RunFolder, config: Config) -> Config:
    """Return the config; a path of data inside the run folder becomes relative, so that the run can be moved."""
    return config.with_layout({"path": folder.data.name}) if _is_inside(folder, config) else config


def _is_inside(folder: RunFolder, config: Config) -> bool:
    return getattr(config.data, "path", None) == str(folder.data.resolve())
