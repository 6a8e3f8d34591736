"""The first things that go into a run folder: what was asked for, and what it is made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dlcli.config.load import LoadedConfig
from dlcli.config.render import render_yaml
from dlcli.config.schema import Config, FashionMnistData
from dlcli.data.splits import DataInfo
from dlcli.runs.files import write_json, write_whole
from dlcli.runs.folder import RunFolder, create_run
from dlcli.runs.manifest import build_manifest


def begin_run(
    loaded: LoadedConfig, info: DataInfo, device: torch.device, command: Sequence[str], run_dir: Path | None = None
) -> RunFolder:
    """Make a run folder and write the config, as given and resolved, and the manifest into it.

    Args:
        loaded: The run's config.
        info: The data it found.
        device: Where it will train.
        command: How it was called.
        run_dir: Where to make the folder, instead of under the runs folder.

    Raises:
        UsageError: If the folder cannot be made, or holds something already.
        DataError: If it cannot be written to.
    """
    folder = create_run(loaded.config.name, run_dir)
    write_whole(folder.config, loaded.text.encode())
    resolved = render_yaml(_with_absolute_root(loaded.config), lambda _section, _field, path: loaded.origin(path))
    write_whole(folder.resolved, f"# Every setting of this run, and where it came from.\n{resolved}".encode())
    write_json(folder.manifest, build_manifest(loaded.config, info, device, command))
    return folder


def _with_absolute_root(config: Config) -> Config:
    """Return the config with a data folder that is found from anywhere, not only from where the run began."""
    data = config.data
    if not isinstance(data, FashionMnistData) or data.root is None:
        return config
    absolute = data.model_copy(update={"root": str(Path(data.root).expanduser().resolve())})
    return config.model_copy(update={"data": absolute})
