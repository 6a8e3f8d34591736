"""Beginning, joining and reopening of sweeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlcli
from dlcli.api.training import plan
from dlcli.config.load import Overrides
from dlcli.config.paths import as_argument
from dlcli.config.sweep.load import LoadedSweep, difference, load_sweep
from dlcli.data.sources import digest_files
from dlcli.errors import DataError, UsageError
from dlcli.runs.files import read_json
from dlcli.runs.lock import file_lock
from dlcli.sweeps.folder import SweepFolder, create_folder, list_sweeps, sweeps_root
from dlcli.sweeps.sweep import Sweep, read_sweep, write_sweep
from dlcli.text import hide_password, hide_passwords

_BEGIN_SECONDS = 60.0  # another process takes less to begin a sweep


def begin_or_join(
    loaded: LoadedSweep, storage: str | None, *, new: bool, called: float, note: Callable[[str], None]
) -> Sweep:
    """Return the newest sweep of this name that has not ended, or that has this config; otherwise a new one.

    A job that starts again after the others have ended the sweep so gets its results.

    Args:
        loaded: Config of the sweep.
        storage: URL of the database; None for a journal in the folder.
        new: Whether to begin a new sweep in any case.
        called: Unix time of the call, from which the time limit of a new sweep counts.
        note: Called with one-line messages.

    Raises:
        UsageError: If that sweep has another config, other data or another storage.
        DataError: If the data cannot be used, or the folder cannot be written.
    """
    name = loaded.base.config.name
    root = sweeps_root() / name
    _make_folder(root)
    with _locked(root):  # two processes that begin at once get the same sweep
        found = [] if new else [folder for folder in list_sweeps(name) if _is_open(folder, loaded)]
        if not found:
            _check_start(loaded, storage, root, new=new)
            folder = create_folder(name)
            write_sweep(folder, loaded, _manifest(loaded, storage, called))
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
        note(f"its time is over; `dlcli sweep --resume {as_argument(str(folder.path))}` continues it")
    return sweep


def reopen(
    folder: SweepFolder, overrides: Overrides, storage: str | None, called: float, note: Callable[[str], None]
) -> Sweep:
    """Return a sweep to continue, with changed settings; its time limit starts again.

    Raises:
        UsageError: If a changed setting affects results, fewer trials are asked for, or the sweep uses another storage.
    """
    before, loaded = load_sweep(folder.sweep), load_sweep(folder.sweep, overrides)
    check_storage(folder, storage)
    if lines := difference(before.identity(), loaded.identity()):
        message = "\n".join([f"{folder.path} searches with other settings:", *(f"  {line}" for line in lines)])
        raise UsageError(
            message, hint="only sweep.trials, seconds, confirm_seeds and keep can change; begin a new sweep"
        )
    if loaded.settings.trials < before.settings.trials:
        message = f"{folder.path} has {before.settings.trials} trials, and fewer are asked for"
        raise UsageError(
            message, hint="give sweep.trials the same or a higher number, or begin another sweep with --new"
        )
    size = before.settings.generation
    if size and before.settings.trials % size and loaded.settings.trials > before.settings.trials:
        note(
            f"the last generation had {before.settings.trials % size} instead of {size} trials: the trials will differ "
            f"from those of one sweep with {loaded.settings.trials}"
        )
    write_sweep(folder, loaded, {**read_json(folder.manifest), "begun": called})
    return read_sweep(folder, url=storage)


def _check_start(loaded: LoadedSweep, storage: str | None, root: Path, *, new: bool) -> None:
    """Check that the unchanged config can be trained, and that the database can be used, before anything is written.

    Raises:
        DataError: If the data or the database cannot be used.
        DeviceError: If the device is missing, or its memory is too small.
        UsageError: If the database has another sweep of this name, or has any and this is to be a new one.
    """
    plan(loaded.base)
    if storage is not None:
        with Sweep(SweepFolder(root), loaded, storage).open_study() as study:
            if new and study.get_trials(deepcopy=False):
                name = loaded.base.config.name
                message = f"the database has the trials of a sweep {name!r}, which a new one would take over"
                raise UsageError(message, hint=f"choose another name, such as `name={name}-2`")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the sweeps of a name.

    Raises:
        DataError: If the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / ".lock", wait_seconds=_BEGIN_SECONDS))
        except (BlockingIOError, TimeoutError):
            raise
        except OSError as error:
            message = f"cannot write to {folder}: {error.strerror or error}"
            raise DataError(message, hint="choose another place with `DLCLI_SWEEPS=DIR`") from error
        yield


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot create the folder {path}: {error.strerror or error}"
        raise DataError(message, hint="choose another place with `DLCLI_SWEEPS=DIR`") from error


def _is_open(folder: SweepFolder, loaded: LoadedSweep) -> bool:
    """Return whether a sweep has not ended, or has the same config."""
    return not _has_ended(folder) or not _find_differences(folder, loaded)


def _find_differences(folder: SweepFolder, loaded: LoadedSweep) -> list[str]:
    """Return the differences between the recorded config and data of a sweep and the given ones, one line each."""
    recorded = load_sweep(folder.sweep).identity() | {"files": read_json(folder.manifest).get("files", {})}
    return difference(recorded, loaded.identity() | {"files": _describe_files(loaded)})


def _describe_files(loaded: LoadedSweep) -> dict[str, str]:
    """Return the SHA-256 of each file of the user's data, or the folder of pictures."""
    data = loaded.base.config.data
    return digest_files(data) or {name: str(path) for name in ("path",) if (path := getattr(data, name, None))}


def _has_ended(folder: SweepFolder) -> bool:
    return folder.summary.exists() and read_json(folder.summary).get("status") == "finished"


def _manifest(loaded: LoadedSweep, storage: str | None, called: float) -> dict[str, Any]:
    """Return the manifest of a new sweep."""
    return {
        "command": hide_passwords(sys.argv),
        "versions": {"dlcli": dlcli.__version__},
        "storage": None if storage is None else hide_password(storage),
        "files": _describe_files(loaded),
        "begun": called,
        "started": datetime.fromtimestamp(called, UTC).isoformat(timespec="seconds"),
    }


def check_storage(folder: SweepFolder, storage: str | None) -> None:
    """Check that a sweep is stored where the caller says.

    Raises:
        UsageError: If it is not.
    """
    recorded = read_json(folder.manifest).get("storage")
    given = None if storage is None else hide_password(storage)
    if recorded != given:
        where = f"in {recorded}" if recorded else "in a journal in its folder"
        hint = "use the same --storage URL" if recorded else "leave --storage out"
        raise UsageError(f"{folder.path} is stored {where}", hint=hint)


def _check_same(recorded: LoadedSweep, given: LoadedSweep, folder: SweepFolder) -> None:
    """Check that two configs describe the same sweep.

    Raises:
        UsageError: If they do not; names each difference.
    """
    if lines := _find_differences(folder, given):
        message = "\n".join([f"{folder.path} has another config or other data:", *(f"  {line}" for line in lines)])
        raise UsageError(message, hint="use the same config, or begin another sweep with --new")
    if recorded.settings != given.settings:
        changes = " ".join(
            f"sweep.{name}={'null' if value is None else value}"
            for name, value in given.settings
            if value != getattr(recorded.settings, name)
        )
        hint = f"run `dlcli sweep --resume {as_argument(str(folder.path))} {changes}`"
        if given.settings.trials < recorded.settings.trials:
            hint = f"use sweep.trials={recorded.settings.trials}, or begin another sweep with --new"
        raise UsageError(f"{folder.path} has another number of trials, or another limit", hint=hint)
