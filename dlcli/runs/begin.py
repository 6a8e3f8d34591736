"""Creation of a run folder with its config and manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from dlcli.config.load import LoadedConfig
from dlcli.data.splits import Splits
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import encode_text, read_file, write_atomic, write_json
from dlcli.runs.folder import RunFolder, create_run
from dlcli.runs.lock import LOCK, OWNER, lock_run
from dlcli.runs.manifest import build_manifest
from dlcli.runs.parent import ParentFile, copy_parent
from dlcli.runs.resolved import write_resolved
from dlcli.training.arithmetic import Arithmetic


@contextmanager
def begin_run(
    loaded: LoadedConfig,
    splits: Splits,
    device: torch.device,
    arithmetic: Arithmetic,
    command: Sequence[str],
    run_dir: Path | None = None,
    parent: ParentFile | None = None,
    arrays: Path | None = None,
) -> Iterator[RunFolder]:
    """Create and lock a run folder, and write the config, resolved config and manifest into it.

    The manifest is written last: a folder with a manifest is a run that can be found and resumed.

    Args:
        loaded: Config of the run.
        splits: Loaded data.
        device: Device to train on.
        arithmetic: Choices that affect the last bits of the results.
        command: Command line that started the run.
        run_dir: Folder to create; None creates one in the runs folder.
        parent: Checkpoint of another run that training starts from.
        arrays: NPZ file that becomes part of the run, and is deleted.

    Yields:
        The run folder, locked until the context ends.

    Raises:
        UsageError: If the folder cannot be created, is locked by another process or is not empty.
        DataError: If the folder cannot be written to.
    """
    folder = create_run(loaded.config.name, run_dir)
    with lock_run(folder.path):
        _make_checkpoints_folder(folder)
        if parent is not None:
            copy_parent(folder, parent)
        if arrays is not None:
            write_atomic(folder.data, read_file(arrays))
            arrays.unlink()
            loaded = replace(loaded, config=loaded.config.with_layout({"path": str(folder.data.resolve())}))
        write_atomic(folder.config, encode_text(loaded.text))
        write_resolved(folder, loaded.config, loaded.origin)
        write_json(folder.manifest, build_manifest(loaded.config, splits, device, arithmetic, command))
        yield folder


def _make_checkpoints_folder(folder: RunFolder) -> None:
    """Create the checkpoints folder; accept only an empty run folder or files of a start that crashed."""
    checkpoints = folder.checkpoint("last").parent
    ours = {path.name for path in (folder.config, folder.resolved, folder.manifest, checkpoints)} | {LOCK, OWNER}
    ours |= {folder.data.name, folder.checkpoint("parent").name}
    ours |= {f".{name}.tmp" for name in ours}
    try:
        names = {path.name for place in (folder.path, checkpoints) if place.exists() for path in place.iterdir()}
        if names - ours or folder.manifest.exists():
            raise UsageError(
                f"{folder.path} is not empty, and dlcli never overwrites a run",
                hint="choose a new folder with `--run-dir DIR`, or continue the run with `dlcli train --resume DIR`",
            )
        checkpoints.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to {folder.path}: {error.strerror or error}") from error
