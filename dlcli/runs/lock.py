"""File lock that lets only one process train a run at a time."""

from __future__ import annotations

import errno
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from dlcli.errors import DataError, DlcliError, UsageError
from dlcli.runs.files import open_regular, read_json, write_json

LOCK, OWNER = ".lock", ".owner.json"
_OWNER_SECONDS = 2.0  # longest wait for the owner file, which a process writes shortly after it gets the lock
_RETRY_SECONDS = 0.001
_held: set[int] = set()  # descriptors of the locks of this process
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock a run for this process; the system releases the lock when the process ends in any way.

    Raises:
        UsageError: If another process holds the lock; the message identifies the process.
        DataError: If the folder cannot be written to or locked.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / LOCK))
        except (BlockingIOError, TimeoutError) as error:
            raise UsageError(
                f"{folder} is being trained by {_owner(folder)}",
                hint="wait until it ends, or stop it and continue with `dlcli train --resume RUN`",
            ) from error
        except OSError as error:
            raise _cannot_lock(folder, error) from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / OWNER, {"pid": os.getpid(), "host": platform.node(), "since": since}, is_synced=False)
        yield


@contextmanager
def file_lock(path: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Lock a regular file, which is created if it is missing.

    filelock is used on Windows only: elsewhere it also opens pipes, and on file systems without locks it falls back to
    a lock file that remains after a process is killed.

    Args:
        path: File to lock.
        wait_seconds: Time to wait while another process holds the lock; may be infinite.

    Raises:
        BlockingIOError: If another process still holds the lock after that time (POSIX).
        TimeoutError: If another process still holds the lock after that time (Windows).
        OSError: If the file cannot be opened or locked.
    """
    if os.name != "posix":
        from filelock import FileLock

        with FileLock(path, timeout=-1 if wait_seconds == math.inf else wait_seconds):
            yield
        return
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    _held.add(descriptor)
    try:
        _flock(descriptor, wait_seconds)
        yield
    finally:
        if descriptor in _held:  # a forked process has closed it already
            _held.remove(descriptor)
            os.close(descriptor)


def _flock(descriptor: int, wait_seconds: float) -> None:
    """Lock a file. A wait with a time limit polls, because flock itself has no time limit."""
    import fcntl

    if wait_seconds == math.inf:
        return fcntl.flock(descriptor, fcntl.LOCK_EX)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _close_in_child() -> None:
    """Close the lock files in a forked process, which would otherwise keep the locks after its parent has ended."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _cannot_lock(folder: Path, error: OSError) -> DataError:
    if error.errno in _NO_LOCKS:
        return DataError(
            f"cannot lock {folder}: its file system has no file locks",
            hint="use a local disk: choose a folder there with `--run-dir DIR`, or copy the run there to resume it",
        )
    return DataError(
        f"cannot write to {folder}: {error.strerror or error}", hint="fix the permissions, or copy the run elsewhere"
    )


def _owner(folder: Path) -> str:
    deadline = time.monotonic() + _OWNER_SECONDS
    owner: dict[str, object] = {}
    while time.monotonic() < deadline:
        with suppress(DlcliError):  # the file may not exist yet
            owner = read_json(folder / OWNER)
            if _may_be_alive(owner):
                return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
        time.sleep(0.02)
    return "another process"


def _may_be_alive(owner: dict[str, object]) -> bool:
    """Return whether the owner process may be running. If not, the new owner is about to replace the record."""
    pid = owner.get("pid")
    if owner.get("host") != platform.node() or not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # the process belongs to another user
        return True
    return True
