"""Reopening of a run: its folder is reset to the checkpoint that it resumes from."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from dlcli.config.load import LoadedConfig
from dlcli.config.schema import Config
from dlcli.errors import DataError
from dlcli.experiment import Experiment
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.identity import limits
from dlcli.runs.log import rewrite_log
from dlcli.runs.manifest import describe_environment, describe_start, describe_world
from dlcli.runs.resolved import record_limits
from dlcli.runs.resume import ResumePoint
from dlcli.runs.run_checkpoint import Which, find_best


def reopen_run(
    folder: RunFolder,
    old: LoadedConfig,
    config: Config,
    point: ResumePoint,
    experiment: Experiment,
    command: Sequence[str],
    world: Mapping[str, Any] | None = None,
) -> None:
    """Reset a run folder to the state of a resume point, and record the resumption in the manifest.

    A crash at any moment leaves a run that can be resumed.

    Args:
        folder: Run folder, locked by this process.
        old: Config of the run.
        config: Config to continue with.
        point: Point to resume from.
        experiment: Experiment to continue.
        command: Command line of the resumption.
        world: Record of the processes, see `describe_world`; None means only this process.

    Raises:
        DataError: If the folder cannot be written to, or the manifest cannot be read.
    """
    reset_checkpoints(folder, point)
    if point.checkpoint is not None and (best := find_best(folder, point.checkpoint.best_sha256)):
        with _write_errors_explained(folder):
            os.replace(best[0], folder.checkpoint("best"))
    remove_temporary_files(folder)
    rewrite_log(folder.path, point.rows)
    world = world or describe_world(experiment, [experiment.device], [platform.node()])
    step = point.checkpoint.step if point.checkpoint else 0
    record_resumption(folder, old, config, step, experiment.device, command, {"world": world})


def record_resumption(
    folder: RunFolder,
    old: LoadedConfig,
    config: Config,
    step: int,
    device: torch.device,
    command: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Record raised limits in resolved.yaml, and the resumption from a step in the manifest.

    Raises:
        DataError: If the folder cannot be written to, or the manifest cannot be read.
    """
    manifest = folder.read_manifest()
    record_limits(folder, old, limits(config))
    resumed = {**describe_start(command), "from_step": step, **(more or {}), **describe_environment(device)}
    write_json(folder.manifest, {**manifest, "resumed": [*manifest.get("resumed", ()), resumed]})


class LastCheckpoint(Protocol):
    """Choice of the checkpoint to resume from, see `ResumePoint`."""

    @property
    def which(self) -> Which:
        """Name of the checkpoint, last or previous."""

    @property
    def checkpoint(self) -> object | None:
        """Checkpoint; None restarts from epoch 1."""

    @property
    def damaged(self) -> Sequence[Path]:
        """Damaged checkpoint files."""


def reset_checkpoints(folder: RunFolder, point: LastCheckpoint) -> None:
    """Reset the checkpoints of a run to the checkpoint to resume from, which becomes the file `last`.

    Damaged checkpoints get the suffix `.damaged`. A restart from epoch 1 removes `last` and `previous`.

    The order makes this safe to interrupt: the summary is removed first, because it may record a newer best checkpoint,
    and `last` is replaced before the caller replaces `best`.

    Raises:
        DataError: If the folder cannot be written to.
    """
    checkpoints = folder.checkpoint("last").parent
    if checkpoints.is_symlink():
        raise DataError(
            f"{checkpoints} is a link; a run only writes into its own folder",
            hint="replace the link with a copy of the folder it points to",
        )
    with _write_errors_explained(folder):
        checkpoints.mkdir(exist_ok=True)
        folder.summary.unlink(missing_ok=True)
        for path in point.damaged:
            os.replace(path, path.with_name(f"{path.name}.damaged"))
        if point.checkpoint is None:  # the restarted run must not mix with old checkpoints
            for which in ("last", "previous"):
                folder.checkpoint(which).unlink(missing_ok=True)
        elif point.which == "previous":
            os.replace(folder.checkpoint("previous"), folder.checkpoint("last"))


def remove_temporary_files(folder: RunFolder) -> None:
    """Remove files that a crash has left behind.

    Raises:
        DataError: If the folder cannot be written to.
    """
    with _write_errors_explained(folder):
        for temporary in (*folder.path.glob(".*.tmp"), *folder.checkpoint("last").parent.glob(".*.tmp")):
            os.unlink(temporary)


@contextmanager
def _write_errors_explained(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write to {folder.path}: {error.strerror or error}") from error
