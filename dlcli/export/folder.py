"""Atomic replacement of a folder of files."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from dlcli.errors import DataError, UsageError
from dlcli.runs.files import sync_folder, write_atomic

_HERE = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux
_HINT = "choose another folder with `-o DIR`"


def check_replaceable(folder: Path, names: Collection[str], mark: str) -> None:
    """Check that a folder does not exist, is empty, or is an older export and nothing else.

    Args:
        folder: Folder to write.
        names: Names of the files of an export.
        mark: Name of a file that every export has.

    Raises:
        UsageError: If it is something else, which would be lost.
    """
    try:
        if not os.path.lexists(folder):
            return
        if not folder.is_dir() or folder.is_symlink():
            raise UsageError(f"cannot write {folder}: it exists and is not a folder", hint=_HINT)
        present = {path.name for path in folder.iterdir()} - {"__pycache__"}
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error
    if others := sorted(present - {*names}):
        raise UsageError(f"cannot write {folder}: it contains {others[0]!r}, which is no part of an export", hint=_HINT)
    if present and mark not in present:
        raise UsageError(f"cannot write {folder}: it is no export, because it has no {mark}", hint=_HINT)


def replace_folder(folder: Path, files: Mapping[str, bytes], check: Callable[[Path], None]) -> None:
    """Write files to a new folder, check it, and put it in the place of the old one.

    After a crash there is the old folder or the new one, whole. Concurrent writers are not supported. On systems other
    than Linux, a crash between two renames leaves the old folder as `.NAME.old`.

    Args:
        folder: Folder to write.
        files: Content of each file by its name.
        check: Called with the new folder before it replaces the old one; an exception keeps the old one.

    Raises:
        DataError: If the folder cannot be written; the old one is kept.
    """
    new = folder.with_name(f".{folder.name}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)  # left by a crash
        new.mkdir()
        try:
            for name, content in files.items():
                write_atomic(new / name, content)
            check(new)
            _exchange(new, folder)
            sync_folder(folder.parent)
        finally:  # the files that failed, or the old ones
            shutil.rmtree(new, ignore_errors=True)
    except DataError as error:
        raise DataError(error.message, hint=_HINT) from error
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError | ValueError) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot write {str(folder)!r}: {reason}", hint=_HINT)


def _exchange(new: Path, old: Path) -> None:
    """Exchange the names of two folders; without an old one, or with an empty one, only rename the new one."""
    if not os.path.lexists(old) or (os.name == "posix" and not any(old.iterdir())):
        os.replace(new, old)
        return
    with suppress(AttributeError, NotImplementedError):
        _exchange_on_linux(new, old)
        return
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(old, aside)
    os.replace(new, old)
    os.replace(aside, new)


def _exchange_on_linux(new: Path, old: Path) -> None:
    """Exchange two names in one step, which Python has no function for.

    Raises:
        AttributeError: If the C library has no such function.
        NotImplementedError: If the file system cannot do it.
        OSError: If it fails.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE) != 0:
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise NotImplementedError
        raise OSError(number, os.strerror(number))
