"""End of a dlcli process: output errors, a missing working folder and memory shortage."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dlcli.cli.streams import output_errors, take_stdout_error
from dlcli.errors import DataError, DeviceError, DlcliError, UsageError

# Messages of the dynamic loader, Python and C libraries for a lack of memory or threads.
_SHORTAGES = ("failed to map segment", "cannot allocate memory", "can't start new thread", "bad_alloc", "out of memory")
_trained: list[str] = []  # folder of the run that this process trains


def remember_run(folder: str) -> None:
    """Set the run folder in which output errors are recorded; an empty string means no folder."""
    _trained[:] = [folder] if folder else []


def check_stdout() -> None:
    """Check that the result reached stdout, unless it is also stored elsewhere.

    Raises:
        DataError: If stdout could not be written.
    """
    if reason := take_stdout_error():
        hint = "free some disk space or redirect the output elsewhere"
        raise DataError(f"cannot write the result to stdout: {reason}", hint=hint)


def record_output_errors() -> None:
    """Record output errors in the run's folder; if that fails too, ignore it."""
    errors = output_errors()
    if errors and _trained:
        from dlcli.runs.folder import GROUP, GroupFolder, RunFolder
        from dlcli.runs.output_errors import note_output_errors

        with contextlib.suppress(DlcliError):
            path = Path(_trained[0])
            note_output_errors((GroupFolder if (path / GROUP).exists() else RunFolder)(path), errors)


def check_working_folder() -> None:
    """Check that the working folder still exists, because relative paths depend on it.

    Raises:
        UsageError: If it does not exist or cannot be accessed.
    """
    try:
        os.getcwd()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot use the working folder: {reason}", hint="change to an existing folder") from error


def find_memory_shortage(error: BaseException) -> DeviceError | None:
    """Return the error to show if `error` was caused by a lack of memory or threads, else None."""
    if not any(map(_is_shortage, _causes(error))):
        return None
    hint = "allow the process more memory, address space (`ulimit -v`) or threads (`ulimit -u`)"
    return DeviceError("out of memory: the system denied this process memory or threads", hint=hint)


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "dlcli":
        return False
    text = str(error).lower()
    return isinstance(error, (ImportError, OSError, RuntimeError)) and any(message in text for message in _SHORTAGES)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, as shown in a traceback."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
