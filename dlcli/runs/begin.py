"""Creation of a run folder with its config and manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dlcli.config.load import LoadedConfig
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import encode_text, read_file, write_atomic, write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.lock import LOCK, OWNER, lock_run
from dlcli.runs.parent import ParentFile, copy_parent
from dlcli.runs.resolved import write_resolved

F = TypeVar("F", bound=RunFolder)


@contextmanager
def begin_run(
    folder: F,
    loaded: LoadedConfig,
    manifest: Mapping[str, Any],
    parent: ParentFile | None = None,
    arrays: Path | None = None,
) -> Iterator[F]:
    """Lock the folder of a new run or group, and write the config, resolved config and manifest into it.

    The manifest is written last, because a folder with a manifest counts as a run or group that can be resumed.

    Args:
        folder: Folder from `create_run`.
        loaded: Config of the run.
        manifest: Manifest, see `build_manifest`.
        parent: Checkpoint of another run that training starts from.
        arrays: NPZ file with the data of the run; it is copied into the folder and then deleted.

    Yields:
        The folder, locked until the context ends.

    Raises:
        UsageError: If the folder is locked by another process or is not empty.
        DataError: If the folder cannot be written to.
    """
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
        write_json(folder.manifest, manifest)
        yield folder


def _make_checkpoints_folder(folder: RunFolder) -> None:
    """Create the checkpoints folder.

    Raises:
        UsageError: If the run folder contains files that a crashed start does not leave behind.
        DataError: If the folder cannot be written to.
    """
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
