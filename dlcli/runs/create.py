"""Creation of run folders."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from dlcli.errors import UsageError
from dlcli.runs.files import sync_folder
from dlcli.runs.folder import GROUP, MANIFEST, RunFolder, is_inside, runs_root


def create_run(name: str, run_dir: Path | None = None, launch: str | None = None) -> RunFolder:
    """Create a new run folder, `<runs folder>/<name>/<UTC time>-<4 hex digits>`.

    Args:
        name: Name of the run, validated with the config.
        run_dir: Folder to use instead; it may exist already.
        launch: Id of the launch, see `launch_id`. If the launch was killed before it wrote the manifest, its folder is
            used again.

    Raises:
        UsageError: If the folder cannot be created, or is inside a group, or a link would place it outside the runs
            folder.
    """
    path = run_dir or _choose_folder(runs_root() / name, launch)
    if run_dir is None and not is_inside(path, runs_root()):
        hint = "remove the link, or choose a folder with `--run-dir DIR`"
        raise UsageError(f"{path.parent} is a link to a folder outside {runs_root()}", hint=hint)
    if group := next((parent for parent in path.absolute().parents if (parent / GROUP).exists()), None):
        message = f"{path} is inside the group {group}, whose folder holds its own seeds only"
        raise UsageError(message, hint="choose another folder with `--run-dir DIR`")
    try:
        path.mkdir(parents=True, exist_ok=run_dir is not None or launch is not None)
    except OSError as error:
        raise UsageError(
            f"cannot create the run folder {path}: {error.strerror or error}",
            hint="choose another folder with `--run-dir DIR`",
        ) from error
    for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
        with suppress(OSError):  # best effort: the parent folders may not be readable
            sync_folder(parent)
    return RunFolder(path)


def _choose_folder(parent: Path, launch: str | None) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if launch is None:
        return parent / f"{stamp}-{secrets.token_hex(2)}"
    ending = sha256(launch.encode()).hexdigest()[:4]
    unbegun = (path for path in parent.glob(f"*-{ending}") if not (path / MANIFEST).exists())
    return next(unbegun, parent / f"{stamp}-{ending}")
