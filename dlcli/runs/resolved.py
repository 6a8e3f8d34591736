"""resolved.yaml: every setting of a run, and where each came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dlcli.config.load import LoadedConfig
from dlcli.config.render import read_origins, render_yaml
from dlcli.config.schema import Config
from dlcli.config.tree import Path
from dlcli.runs.files import encode_text, write_whole
from dlcli.runs.folder import RunFolder

_RAISED = "raised when the run was resumed"
_PLACES: dict[str, Path] = {"epochs": ("training", "epochs"), "patience": ("early_stopping", "patience")}


def write_resolved(folder: RunFolder, config: Config, origin: Callable[[Path], str]) -> None:
    """Write the config of a run.

    Args:
        folder: The run's.
        config: Every value.
        origin: Given a setting's path, where it came from.

    Raises:
        DataError: If it cannot be written.
    """
    text = render_yaml(config, lambda _section, _field, path: origin(path))
    write_whole(folder.resolved, encode_text(f"# Every setting of this run, and where it came from.\n{text}"))


def record_limits(folder: RunFolder, own: LoadedConfig, limits: Mapping[str, int | None]) -> None:
    """Have resolved.yaml tell when training ends now; the origins of all other values stay.

    Args:
        folder: The run's.
        own: What resolved.yaml says so far.
        limits: `epochs` and `patience`.

    Raises:
        DataError: If it cannot be written.
    """
    config, origins = own.config, read_origins(own.config, own.text)
    for name, (section, field) in _PLACES.items():
        part = getattr(config, str(section))
        if getattr(part, str(field)) != limits[name]:
            changed = part.model_copy(update={str(field): limits[name]})
            config = config.model_copy(update={str(section): changed})
            origins[f"{section}.{field}"] = _RAISED
    if config != own.config:
        write_resolved(folder, config, lambda path: origins.get(".".join(map(str, path)), ""))
