"""One process trains a run at a time; the others are told which."""

from __future__ import annotations

import errno
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
_OWNER_SECONDS = 2.0  # an owner needs a moment to say who it is
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Have the run in `folder` for this process alone; the system gives it back however the process ends.

    Raises:
        UsageError: If another process has it, saying which.
        DataError: If the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(folder / LOCK))
        except (BlockingIOError, TimeoutError) as error:
            raise UsageError(
                f"{folder} is being trained by {_owner(folder)}",
                hint="wait until it ends, or stop it and continue with `dlcli train --resume RUN`",
            ) from error
        except OSError as error:
            raise _cannot_lock(folder, error) from error
        since = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(folder / OWNER, {"pid": os.getpid(), "host": platform.node(), "since": since})
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is a regular one; it is never waited for.

    filelock serves Windows alone: elsewhere it opens a pipe too, and where a file system has no locks it falls back to
    a file that a process leaves behind when it is killed.

    Raises:
        BlockingIOError: If another process has it.
        TimeoutError: The same, on Windows.
        OSError: If the file cannot be opened or locked.
    """
    if os.name != "posix":
        from filelock import FileLock

        with FileLock(path, timeout=0):
            yield
        return
    import fcntl

    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _cannot_lock(folder: Path, error: OSError) -> DataError:
    if error.errno in _NO_LOCKS:
        return DataError(
            f"cannot lock {folder}: its file system has no file locks",
            hint="train on a local disk: name a folder there with `--run-dir DIR`, or copy the run there to resume it",
        )
    return DataError(
        f"cannot write to {folder}: {error.strerror or error}", hint="fix the permissions, or copy the run elsewhere"
    )


def _owner(folder: Path) -> str:
    deadline = time.monotonic() + _OWNER_SECONDS
    owner: dict[str, object] = {}
    while time.monotonic() < deadline:
        with suppress(DlcliError):  # it has not been written yet
            owner = read_json(folder / OWNER)
            if _may_be_alive(owner):
                return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
        time.sleep(0.02)
    return "another process"


def _may_be_alive(owner: dict[str, object]) -> bool:
    """Return whether the process may be there; what a dead owner left is overwritten within moments."""
    pid = owner.get("pid")
    if owner.get("host") != platform.node() or not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
