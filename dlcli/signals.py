"""Signal handlers for SIGINT, SIGTERM and SIGHUP: save and stop during training, exit at once otherwise."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


LAUNCHED = "DLCLI_LAUNCHED"  # set by `dlcli train --processes` for its processes, to its own PID
_temporary: list[str | os.PathLike[str]] = []  # files to delete
_answers: list[Callable[[int], str]] = []  # holds at most one function
_before_exit: list[Callable[[int], None]] = []  # holds at most one function
_installed: list[StopSignals] = []  # at most one


def exit_on_signals() -> None:
    """Make signals end the process with exit code 128 + their number and no traceback, while nothing needs saving."""
    for number in _handled_signals():
        signal.signal(number, _exit)


def answer_signals(answer: Callable[[int], str]) -> None:
    """Print a text on stdout when a signal ends the process; `answer` returns it for the number of the signal."""
    _answers[:] = [answer]


def call_before_exit(function: Callable[[int], None]) -> None:
    """Call a function with the number of the signal when a signal ends the process."""
    _before_exit[:] = [function]


def _exit(signum: int, _frame: FrameType | None) -> None:
    """End the process at once; exception handlers could print a traceback or wait."""
    for path in _temporary:
        with suppress(OSError):
            os.unlink(path)
    if signum == signal.SIGINT and LAUNCHED not in os.environ:  # the launcher prints this for all its processes
        with suppress(OSError):  # stderr may be closed
            os.write(2, b"interrupted\n")
    for answer in _answers:
        with suppress(OSError):
            os.write(1, answer(signum).encode())
    for function in _before_exit:
        with suppress(OSError):
            function(signum)
    os._exit(128 + signum)


def request_stop(signum: int) -> bool:
    """Stop a training as after a signal to this process; return False if none runs that saves and stops then."""
    for signals in _installed:
        signals.received = signals.received or signum
    return bool(_installed)


@contextmanager
def deleted_on_exit(path: str | os.PathLike[str]) -> Iterator[None]:
    """Delete a temporary file at the end of the block, if it is still there, and when a signal ends the process."""
    _temporary.append(path)
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)
        _temporary.remove(path)


def _handled_signals() -> list[signal.Signals]:
    """Return the signals that this process does not ignore; under nohup or in the background, it may ignore some."""
    return [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


class StopSignals:
    """Signal handler that records the first signal as a request to stop.

    Args:
        only_ctrl_c: Whether to handle SIGINT only and pass a second one to the caller's handler, for programs that use
            dlcli as a library.
        is_patient: Whether to ignore further signals, because a launcher may send its processes a signal that they have
            already received. Otherwise a second signal ends the process at once.
    """

    def __init__(self, *, only_ctrl_c: bool = False, is_patient: bool = False) -> None:
        self.received: int | None = None
        self._only_ctrl_c, self._is_patient = only_ctrl_c, is_patient
        self._previous: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Install the handlers; do nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is threading.main_thread():
            chosen = [number for number in _handled_signals() if number == signal.SIGINT or not self._only_ctrl_c]
            self._previous = {number: signal.signal(number, self._record) for number in chosen}
            _installed[:] = [self]

    def restore(self) -> None:
        """Restore the previous handlers; do nothing if none were replaced."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self in _installed:
            _installed.remove(self)
        self._previous = {}

    def _record(self, signum: int, _frame: FrameType | None) -> None:
        if self._is_patient:
            self.received = self.received or signum
            return
        self.received = signum
        for number, handler in self._previous.items():
            # The default action ends the process even during one long call into C.
            signal.signal(number, handler if self._only_ctrl_c else signal.SIG_DFL)
