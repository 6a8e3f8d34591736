"""Data of runs: loading from its current place, and comparison with the recorded checksums."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from dlcli.config.load import load_config
from dlcli.config.paths import escape_path, resolve_path
from dlcli.config.render import render_value
from dlcli.config.schema import AnyData, Config, ImageFolderData, TableData
from dlcli.data.scaling import Scaling
from dlcli.data.sources import digest_files
from dlcli.data.splits import DataInfo, Splits
from dlcli.errors import DataError, one_line
from dlcli.experiment import Experiment, build_experiment
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.folder import RunFolder
from dlcli.runs.parent import load_parent
from dlcli.runs.run import Run
from dlcli.training.world import World


class DataRecord(Protocol):
    """Record of the data of a training, as in a checkpoint."""

    @property
    def info(self) -> DataInfo:
        """Description of the data."""

    @property
    def input_scaling(self) -> Scaling:
        """Scaling of the inputs."""

    @property
    def target_scaling(self) -> Scaling:
        """Scaling of the targets."""


def load_run_config(run: Run, *, device: str | None = None, data_root: str | None = None) -> Config:
    """Return the config of a run, with another device or data folder if given.

    Args:
        run: The run.
        device: Device to compute on; None keeps the device of the run.
        data_root: Folder with the data set, if it has moved since training.
    """
    overrides = [f"training.device={device}"] if device not in (None, run.config.training.device) else []
    if data_root is not None:
        overrides += _moved(run.config.data, data_root)
    return load_config(run.folder.resolved, overrides).config if overrides else run.config


def _moved(data: AnyData, data_root: str) -> list[str]:
    """Return overrides for data that was moved to another folder; `data_root` may also be the path of a single file."""
    if not isinstance(data, TableData):
        setting = "path" if isinstance(data, ImageFolderData) else "root"
        return [f"data.{setting}={render_value(data_root)}"]
    root, files = resolve_path(data_root, "", "--data-root"), data.files()
    if len(files) == 1 and not os.path.isdir(root):
        return [f"data.{name}={render_value(escape_path(root))}" for name in files]
    common = os.path.commonpath([os.path.dirname(file) for file in files.values()])
    moved = {name: os.path.join(root, os.path.relpath(file, common)) for name, file in files.items()}
    return [f"data.{name}={render_value(escape_path(file))}" for name, file in moved.items()]


def build_run_experiment(
    folder: RunFolder,
    saved: Checkpoint | None,
    config: Config,
    *,
    notify: Callable[[str], None] | None = None,
    splits: Splits | None = None,
    world: World | None = None,
) -> Experiment:
    """Load the data of a run and build its model, see `build_experiment`.

    Checks that the data has the checksums, the description and the scaling of the run.

    Args:
        folder: Run folder.
        saved: Checkpoint of the run; None compares only the checksums, with the manifest.
        config: Config of the run.
        notify: Called with a one-line message before a download; None disables downloads.
        splits: Data of `config` if already loaded; None loads it.
        world: Processes that train the model together; None means only this process.

    Raises:
        DataError: If the data has changed since training, or cannot be used, or the copy of the parent is damaged.
    """
    try:
        parent = load_parent(folder, config)
        experiment = build_experiment(config, notify=notify, splits=splits, parent=parent, world=world)
    except DataError as error:  # changed data may be the cause, and is the clearer message
        old, new = _checksums(folder, saved), digest_files(config.data)
        if new and new != old:
            raise _changed_error(folder, old, new) from error
        raise
    check_data(folder, saved, experiment.splits)
    return experiment


def check_data(folder: RunFolder, saved: DataRecord | None, splits: Splits) -> None:
    """Check that loaded data is the data of a run, see `build_run_experiment`.

    Raises:
        DataError: If the data has changed since training.
    """
    old, new = _checksums(folder, saved), splits.info.checksums
    is_same = old == new
    if saved is not None:
        is_same = saved.info == splits.info and saved.input_scaling.is_close(splits.input_scaling)
        is_same = is_same and saved.target_scaling.is_close(splits.target_scaling)
    if not is_same:
        raise _changed_error(folder, old, new)


def _checksums(folder: RunFolder, saved: DataRecord | None) -> Mapping[str, str]:
    if saved is not None:
        return saved.info.checksums
    return folder.read_manifest().get("data", {}).get("sha256") or {}


def _changed_error(folder: RunFolder, old: Mapping[str, str], new: Mapping[str, str]) -> DataError:
    lines = [f"the data has changed since {folder.path} was trained", *_changed(old, new)]
    return DataError("\n".join(lines), hint="restore the data, or train again")


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return a line for each checksum that differs from the one of the run."""
    return [
        f"  SHA-256 of {one_line(name)}: {old.get(name)} in the run, {new.get(name)} now"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
