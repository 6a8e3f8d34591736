"""Output and exit of the processes that train one model: only one of them prints."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import NoReturn

from dlcli.errors import DlcliError, LostProcess, RemoteError, UsageError, full_record
from dlcli.ranks import end_launch, is_launcher_waiting, read_rank

_FINAL = ("usage", "config", "diverged", "interrupted")  # errors that a restart would repeat, and requests to stop
_launched: list[bool] = []  # has an entry once this process has launched those that train the model


def note_launch() -> None:
    """Record that this process has started others."""
    _launched.append(True)


def shares_work() -> bool:
    """Return whether this process is one of several that train a model, or has started them."""
    return is_one_of_several() or bool(_launched)


def is_one_of_several() -> bool:
    """Return whether several processes were started to train one model."""
    try:
        return not read_rank().is_alone
    except UsageError:
        return False


def prints_result() -> bool:
    """Return whether this process prints the result; only the first of several processes does."""
    return not is_one_of_several() or read_rank().is_first


def is_told_elsewhere(error: DlcliError) -> bool:
    """Return whether another process on this machine, or the launcher, reports an error to the user."""
    if not is_one_of_several():
        return False
    if is_launcher_waiting():
        _write_for_launcher(error)
        return True
    is_common = isinstance(error, RemoteError | LostProcess) or not _is_connected()
    return is_common and read_rank().local_rank > 0


def _write_for_launcher(error: DlcliError) -> None:
    """Write an error to the file that the launcher reads; only the first process repeats errors of other processes."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is not None and (read_rank().is_first or not isinstance(error, RemoteError)):
        with open(path, "w", encoding="utf-8") as file:  # the fields that torch reads, and ours
            json.dump({"message": error.message, "timestamp": int(time.time()), "dlcli": full_record(error)}, file)


def leave(code: int, error: DlcliError | None) -> NoReturn:
    """End a process that shares work at once, because the normal exit of Python may take seconds or wait for others.

    After an error that all processes know, the first process ends before the others. Launchers stop all processes as
    soon as one has failed, and by then the first one must have saved the run and shown its message.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if isinstance(error, RemoteError) and not prints_result() and _is_connected():
        from dlcli.training.rank_messages import wait_for_end_of_first

        wait_for_end_of_first()
    if error is not None and error.kind in _FINAL and read_rank().local_rank == 0:
        end_launch()
    os._exit(code)


def _is_connected() -> bool:
    if "dlcli.training.rank_messages" not in sys.modules:
        return False
    from dlcli.training.rank_messages import is_connected

    return is_connected()
