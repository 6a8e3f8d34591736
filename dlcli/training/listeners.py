"""Callbacks for the events of a training run, and stop requests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dlcli.errors import Interrupted
from dlcli.signals import StopSignals
from dlcli.training.events import Event


@dataclass(frozen=True)
class Listeners:
    """Callbacks of a training run.

    Attributes:
        listen: Called with each event.
        notify: Called with one-line messages, such as before a download or about files that a resumed run ignores. None
            disables messages and downloads.
        should_stop: Called after each event; a returned signal number saves the state and ends the run. If
            `should_stop` is None, Ctrl-C saves and ends the run.
    """

    listen: Callable[[Event], None] = lambda event: None
    notify: Callable[[str], None] | None = None
    should_stop: Callable[[], int | None] | None = None

    def emit(self, event: Event) -> int | None:
        """Pass an event to `listen`.

        If Ctrl-C interrupts `listen`, return SIGINT instead of raising, so that the run is saved before it ends.
        """
        try:
            self.listen(event)
        except KeyboardInterrupt:
            return signal.SIGINT
        return None

    def note(self, text: str) -> None:
        """Send a one-line message to `notify`, if set."""
        if self.notify is not None:
            self.notify(text)


NO_LISTENERS = Listeners()


@contextmanager
def stop_requests(listeners: Listeners) -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the signal number of a stop request, or None if there is no request.

    The function is `listeners.should_stop`. If that is None, Ctrl-C is the only stop request.

    Raises:
        KeyboardInterrupt: After Ctrl-C has ended the run and its state is saved, so that a loop over runs ends too.
    """
    if listeners.should_stop is not None:
        yield listeners.should_stop
        return
    signals = StopSignals(only_ctrl_c=True)
    signals.install()
    try:
        yield lambda: signals.received
    except Interrupted as error:
        raise KeyboardInterrupt(f"{error.message}; {error.hint}") from error
    finally:
        signals.restore()
