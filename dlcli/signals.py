"""What SIGINT, SIGTERM and SIGHUP do: while a model trains they save first, before and after they end the process."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def leave_at_signals() -> None:
    """Have signals end the process with 128 + their number and no traceback: nothing is to be saved yet."""
    for one in _heeded():
        signal.signal(one, lambda signum, _frame: os._exit(128 + signum))


def _heeded() -> list[signal.Signals]:
    """Return the signals that this process was not started to ignore, as under nohup or in a script's background."""
    return [one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN]


class StopSignals:
    """Turns the first signal into a wish to stop.

    Args:
        only_ctrl_c: Whether to take SIGINT alone, and to have the caller's handler receive a second one: for a program
            that dlcli is a library of. Otherwise a second signal ends the process at once.
    """

    def __init__(self, *, only_ctrl_c: bool = False) -> None:
        self.received: int | None = None
        self._only_ctrl_c = only_ctrl_c
        self._before: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Begin to heed signals; outside the main thread, where Python has no handlers set, nothing happens."""
        if threading.current_thread() is threading.main_thread():
            chosen = [one for one in _heeded() if one == signal.SIGINT or not self._only_ctrl_c]
            self._before = {one: signal.signal(one, self._note) for one in chosen}

    def give_back(self) -> None:
        """Have signals do what they did before; nothing happens if they were not taken."""
        for one, handler in self._before.items():
            signal.signal(one, handler)
        self._before = {}

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self.received = signum
        for one, handler in self._before.items():
            # The default ends the process even within one long call.
            signal.signal(one, handler if self._only_ctrl_c else signal.SIG_DFL)
