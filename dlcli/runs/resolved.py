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
_PLACES: dict[str, KeyPath] = {"epochs": ("training", "epochs"), "patience": ("early_stopping", "patience")}


def write_resolved(folder: RunFolder, config: Config, origin: Callable[[KeyPath], str]) -> None:
    """Write resolved.yaml, with the path of data in the run folder relative to it.

    Args:
        folder: Run folder.
        config: Config to write.
        origin: Function that returns the origin of the setting at a path.

    Raises:
        DataError: If the file cannot be written.
    """
    text = render_yaml(_with_relative_data(folder, config), lambda _section, _field, path: origin(path))
    write_atomic(folder.resolved, encode_text(f"# Every setting of this run, and where it came from.\n{text}"))


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
    """Return the config with the path of data in the run folder relative to it, so that the run can be moved."""
    is_inside = getattr(config.data, "path", None) == str(folder.data.resolve())
    return config.with_layout({"path": folder.data.name}) if is_inside else config
