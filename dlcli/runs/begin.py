"""The first things that go into a run folder: what was asked for, and what it is made with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from dlcli.config.load import LoadedConfig
from dlcli.data.splits import DataInfo
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import encode_text, write_json, write_whole
from dlcli.runs.folder import RunFolder, create_run
from dlcli.runs.lock import LOCK, OWNER, owned
from dlcli.runs.manifest import build_manifest
from dlcli.runs.resolved import write_resolved
from dlcli.training.arithmetic import Arithmetic


@contextmanager
def begin_run(
    loaded: LoadedConfig,
    info: DataInfo,
    device: torch.device,
    arithmetic: Arithmetic,
    command: Sequence[str],
    run_dir: Path | None = None,
) -> Iterator[RunFolder]:
    """Make a run folder, write the config, as given and resolved, and the manifest into it, and own it.

    The manifest comes last: with it, the run can be found and resumed. Without, it never began.

    Args:
        loaded: The run's config.
        info: The data it found.
        device: Where it will train.
        arithmetic: What decides the run's last bits.
        command: How it was called.
        run_dir: Where to make the folder, instead of under the runs folder.

    Raises:
        UsageError: If the folder cannot be made, is another process's, or holds something already.
        DataError: If it cannot be written to.
    """
    folder = create_run(loaded.config.name, run_dir)
    with owned(folder.path):
        _make_checkpoints_folder(folder)
        write_whole(folder.config, encode_text(loaded.text))
        write_resolved(folder, loaded.config, loaded.origin)
        write_json(folder.manifest, build_manifest(loaded.config, info, device, arithmetic, command))
        yield folder


def _make_checkpoints_folder(folder: RunFolder) -> None:
    """Make it in a folder that is empty but for what is left of a start that a crash cut short."""
    checkpoints = folder.checkpoint("last").parent
    ours = {one.name for one in (folder.config, folder.resolved, folder.manifest, checkpoints)} | {LOCK, OWNER}
    temporary = {f".{name}.tmp" for name in ours}
    try:
        found = {one.name for one in folder.path.iterdir()}
        if (
            found - ours - temporary
            or folder.manifest.exists()
            or (checkpoints.exists() and any(checkpoints.iterdir()))
        ):
            raise UsageError(
                f"{folder.path} is not empty; a run never overwrites",
                hint="name a new folder with --run-dir, or continue the run: dlcli train --resume DIR",
            )
        checkpoints.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {folder.path}: {error.strerror or error}") from error
