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
    """Write resolved.yaml.

    Args:
        folder: Run folder.
        config: Config to write.
        origin: Function that returns the origin of the setting at a path.

    Raises:
        DataError: If the file cannot be written.
    """
    text = render_yaml(config, lambda _section, _field, path: origin(path))
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
    config, origins = resolved.config, read_origins(resolved.config, resolved.text)
    for name, (section, field) in _PLACES.items():
        part = getattr(config, str(section))
        if getattr(part, str(field)) != limits[name]:
            changed = part.model_copy(update={str(field): limits[name]})
            config = config.model_copy(update={str(section): changed})
            origins[f"{section}.{field}"] = _RAISED
    if config != resolved.config:
        write_resolved(folder, config, lambda path: origins.get(".".join(map(str, path)), ""))
