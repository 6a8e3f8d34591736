"""Beginning, joining and reopening of sweeps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlcli
from dlcli.config.load import Overrides
from dlcli.config.paths import as_argument
from dlcli.config.sweep.load import LoadedSweep, difference, load_sweep
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import read_json
from dlcli.runs.lock import file_lock
from dlcli.sweeps.database import hide_password
from dlcli.sweeps.folder import SweepFolder, create_folder, list_sweeps, sweeps_root
from dlcli.sweeps.sweep import Sweep, read_sweep, write_sweep

_BEGIN_SECONDS = 60.0  # another process takes less to begin a sweep


def begin_or_join(loaded: LoadedSweep, storage: str | None, *, new: bool, note: Callable[[str], None]) -> Sweep:
    """Return the newest sweep of this name that has not ended, or that has this config; otherwise a new one.

    A job that starts again after the others have ended the sweep so gets its results.

    Raises:
        UsageError: If that sweep has another config, or another storage.
        DataError: If the folder cannot be written.
    """
    name = loaded.base.config.name
    root = sweeps_root() / name
    _make_folder(root)
    with file_lock(root / ".lock", wait_seconds=_BEGIN_SECONDS):  # two processes that begin at once get the same sweep
        found = [] if new else [folder for folder in list_sweeps(name) if _is_open(folder, loaded)]
        if not found:
            folder = create_folder(name)
            write_sweep(folder, loaded, _manifest(storage))
            return read_sweep(folder, url=storage)
    folder = found[-1]
    sweep = read_sweep(folder, url=storage)
    check_storage(folder, storage)
    _check_same(sweep.loaded, loaded, folder)
    if _has_ended(folder):
        note(f"{folder.path} has ended; --new begins another sweep")
        return sweep
    note(f"taking part in {folder.path}")
    if sweep.is_over():
        note(f"its time is over; `dlcli sweep --resume {as_argument(str(folder.path))}` goes on")
    return sweep


def reopen(folder: SweepFolder, overrides: Overrides, storage: str | None) -> Sweep:
    """Return a sweep to continue, with changed settings and a new start of its time.

    Raises:
        UsageError: If settings differ that results depend on, or it has another storage.
    """
    before, loaded = load_sweep(folder.sweep), load_sweep(folder.sweep, overrides)
    check_storage(folder, storage)
    if lines := difference(before.identity(), loaded.identity()):
        message = "\n".join([f"{folder.path} searches with other settings:", *(f"  {line}" for line in lines)])
        raise UsageError(
            message, hint="only sweep.trials, seconds, confirm_seeds and keep can change; begin a new sweep"
        )
    write_sweep(folder, loaded, {**read_json(folder.manifest), **_clock()})
    return read_sweep(folder, url=storage)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot create the folder {path}: {error.strerror or error}"
        raise DataError(message, hint="choose another place with `DLCLI_SWEEPS=DIR`") from error


def _is_open(folder: SweepFolder, loaded: LoadedSweep) -> bool:
    """Return whether a sweep has not ended, or has the same config."""
    return not _has_ended(folder) or not difference(load_sweep(folder.sweep).identity(), loaded.identity())


def _has_ended(folder: SweepFolder) -> bool:
    return folder.summary.exists() and read_json(folder.summary).get("status") == "finished"


def _manifest(storage: str | None) -> dict[str, Any]:
    """Return the manifest of a new sweep."""
    shown = None if storage is None else hide_password(storage)
    command = [hide_password(argument) for argument in sys.argv]
    return {"command": command, "versions": {"dlcli": dlcli.__version__}, "storage": shown, **_clock()}


def _clock() -> dict[str, Any]:
    return {"begun": time.time(), "started": datetime.now(UTC).isoformat(timespec="seconds")}


def check_storage(folder: SweepFolder, storage: str | None) -> None:
    """Check that a sweep is stored where the caller says.

    Raises:
        UsageError: If it is not.
    """
    recorded = read_json(folder.manifest).get("storage")
    given = None if storage is None else hide_password(storage)
    if recorded != given:
        where = f"in {recorded}" if recorded else "in a journal in its folder"
        hint = "add --storage URL" if recorded else "leave --storage out, or begin another sweep with --new"
        raise UsageError(f"{folder.path} is stored {where}", hint=hint)


def _check_same(recorded: LoadedSweep, given: LoadedSweep, folder: SweepFolder) -> None:
    """Check that two configs describe the same sweep.

    Raises:
        UsageError: If they do not; names each difference.
    """
    lines = difference(recorded.identity(), given.identity())
    if lines:
        message = "\n".join([f"{folder.path} goes on, and has another config:", *(f"  {line}" for line in lines)])
        raise UsageError(message, hint="use the same config, or begin another sweep with --new")
    if recorded.settings != given.settings:
        changes = " ".join(
            f"sweep.{name}={'null' if value is None else value}"
            for name, value in given.settings
            if value != getattr(recorded.settings, name)
        )
        command = f"dlcli sweep --resume {as_argument(str(folder.path))} {changes}"
        raise UsageError(f"{folder.path} goes on, and has another extent", hint=f"run `{command}`")
