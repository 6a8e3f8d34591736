"""How a process ends: its exit code, and what it could not show noted in the record of the run it trained."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dlcli.cli.streams import output_errors, take_stdout_error
from dlcli.errors import DataError, DeviceError, DlcliError, UsageError

# How the loader of libraries, Python and libraries written in C say that they got no memory, or no thread.
_SHORTAGES = ("failed to map segment", "cannot allocate memory", "can't start new thread", "bad_alloc", "out of memory")
_trained: list[str] = []  # the folder of the run that this process trains


def remember_run(folder: str) -> None:
    """Have output errors noted in the record of the run in this folder; empty where a training leaves none."""
    _trained[:] = [folder] if folder else []


def check_stdout() -> None:
    """Refuse to succeed when the result was to go to stdout and nowhere else, and could not.

    Raises:
        DataError: If it could not.
    """
    if reason := take_stdout_error():
        hint = "make room where the output goes, or send it elsewhere"
        raise DataError(f"cannot write the result to stdout: {reason}", hint=hint)


def record_output_errors() -> None:
    """Note in the run's record what could not be written; that it cannot be noted does not matter to the run."""
    errors = output_errors()
    if errors and _trained:
        from dlcli.runs.folder import RunFolder
        from dlcli.runs.output_errors import note_output_errors

        with contextlib.suppress(DlcliError):
            note_output_errors(RunFolder(Path(_trained[0])), errors)


def check_working_folder() -> None:
    """Refuse a working folder that is gone: no name in it means anything.

    Raises:
        UsageError: If it is.
    """
    try:
        os.getcwd()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot use the working folder: {reason}", hint="change to a folder that is there") from error


def name_shortage(error: BaseException) -> DeviceError | None:
    """Return what to tell the user if an error says that the machine gave too little memory, else None."""
    if not any(map(_is_shortage, _causes(error))):
        return None
    hint = "give the process more memory, address space (`ulimit -v`) or threads (`ulimit -u`)"
    return DeviceError("out of memory: the machine gives this process too little of it", hint=hint)


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "dlcli":
        return False
    text = str(error).lower()
    return isinstance(error, (ImportError, OSError, RuntimeError)) and any(one in text for one in _SHORTAGES)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
