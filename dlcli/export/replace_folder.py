"""Atomic replacement of a folder of files."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dlcli.errors import DataError, UsageError
from dlcli.runs.files import sync_folder, write_atomic

_HERE = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux
_HINT = "choose another folder with `-o DIR`"


def check_replaceable(folder: Path, names: Collection[str], mark: str) -> None:
    """Check that a folder does not exist, is empty, or contains an older export and nothing else.

    The temporary folder of `replace_folder`, which a crash may have left, is checked for other files too.

    Args:
        folder: Folder to write.
        names: Names of the files of an export.
        mark: Name of a file that every export contains.

    Raises:
        UsageError: If the folder contains other files, which would be lost, or cannot be replaced.
    """
    try:
        _check_renameable(folder)
        present = _list(folder)
        left = _list(_working_folder(folder)) - {f".{name}.tmp" for name in names}
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error
    for place, found in ((folder, present), (_working_folder(folder), left)):
        if others := sorted(found - {*names, "__pycache__"}):
            message = f"cannot write {folder}: {place} contains {others[0]!r}, which is no part of an export"
            raise UsageError(message, hint=_HINT)
    if present and mark not in present:
        raise UsageError(f"cannot write {folder}: it is no export, because it has no {mark}", hint=_HINT)


def _check_renameable(folder: Path) -> None:
    """Check that a folder is neither a mount point nor the working folder.

    After the replacement of its working folder, a shell would still be in the old one.

    Raises:
        UsageError: If the folder is one of them.
    """
    if os.path.ismount(folder):
        kind = "a mount point"
    elif folder.is_dir() and folder.samefile(os.curdir):
        kind = "the working folder"
    else:
        return
    hint = "choose a folder in it with `-o DIR`"
    raise UsageError(f"cannot write {folder}: it is {kind}, which cannot be replaced", hint=hint)


def _list(folder: Path) -> set[str]:
    """Return the names in a folder; nothing if it does not exist.

    Raises:
        UsageError: If the path exists and is not a folder.
    """
    if not os.path.lexists(folder):
        return set()
    if not folder.is_dir() or folder.is_symlink():
        raise UsageError(f"cannot write {folder}: it exists and is not a folder", hint=_HINT)
    return {path.name for path in folder.iterdir()}


def _working_folder(folder: Path) -> Path:
    absolute = Path(os.path.abspath(folder))  # `.` has no name
    return absolute.with_name(f".{absolute.name}.tmp")


def replace_folder(folder: Path, files: Mapping[str, bytes], check: Callable[[Path], None]) -> None:
    """Write files to a new folder, check it, and put it in the place of the old one.

    After a crash, either the old or the new folder is there, complete. Concurrent writers wait for each other. On
    systems other than Linux, a crash between two renames leaves the old folder as `.NAME.old`.

    Args:
        folder: Folder to write, which `check_replaceable` has accepted.
        files: Content of each file by its name.
        check: Called with the new folder before it replaces the old one; if it raises, the old folder is kept.

    Raises:
        DataError: If the folder cannot be written; the old folder is kept.
    """
    new = _working_folder(folder)
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        with _locked(new.parent):
            shutil.rmtree(new, ignore_errors=True)  # left by a crash
            new.mkdir()
            try:
                for name, content in files.items():
                    write_atomic(new / name, content)
                check(new)
                _exchange(new, folder)
                sync_folder(new.parent)
            finally:  # `new` holds the old files now, or the new files if an error occurred
                shutil.rmtree(new, ignore_errors=True)
    except DataError as error:
        raise DataError(error.message, hint=_HINT) from error
    except (OSError, ValueError) as error:
        raise _cannot_write(folder, error) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for other exports into a folder, and lock it; without effect on Windows and file systems without locks.

    The folder itself is locked, so that no lock file remains.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cannot_write(folder: Path, error: OSError | ValueError) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DataError(f"cannot write {str(folder)!r}: {reason}", hint=_HINT)


def _exchange(new: Path, old: Path) -> None:
    """Exchange the names of two folders; if the old one is missing or empty, only rename the new one."""
    is_posix = os.name == "posix"
    if not os.path.lexists(old) or (is_posix and not any(old.iterdir())):
        os.replace(new, old)
        return
    if is_posix and _exchange_at_once(new, old):
        return
    aside = old.with_name(f".{old.name}.old")
    os.replace(old, aside)
    os.replace(new, old)
    os.replace(aside, new)


def _exchange_at_once(new: Path, old: Path) -> bool:
    """Exchange two names in one step, with a function of the C library; return False if the system cannot do it.

    Raises:
        OSError: If the exchange fails.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # the C library has no such function
        return False
    if rename(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):  # the kernel or the file system does not support it
        return False
    raise OSError(number, os.strerror(number))
