"""Listeners of a training run, and the wish to stop it."""

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
    """Functions that a training run calls.

    Attributes:
        listen: Called with each event.
        notify: Told in a line what is fetched before it is, and what a resumed run passes over; None keeps off the
            network.
        should_stop: Asked after each event; a signal's number saves the state and ends the run. None has Ctrl-C do so.
    """

    listen: Callable[[Event], None] = lambda event: None
    notify: Callable[[str], None] | None = None
    should_stop: Callable[[], int | None] | None = None

    def tell(self, event: Event) -> int | None:
        """Tell an event; return SIGINT's number if Ctrl-C interrupted that: between two events, a run can be saved."""
        try:
            self.listen(event)
        except KeyboardInterrupt:
            return signal.SIGINT
        return None

    def note(self, text: str) -> None:
        """Tell a line to whoever wants to know."""
        if self.notify is not None:
            self.notify(text)


NOBODY = Listeners()


@contextmanager
def stop_wish(listeners: Listeners) -> Iterator[Callable[[], int | None]]:
    """Yield what says whether to stop; for a program that does not ask itself, Ctrl-C does.

    Raises:
        KeyboardInterrupt: Where Ctrl-C ended the run, once it is saved; a loop over runs must not go on to the next.
    """
    if listeners.should_stop is not None:
        yield listeners.should_stop
        return
    signals = StopSignals(only_ctrl_c=True)
    signals.take()
    try:
        yield lambda: signals.received
    except Interrupted as error:
        raise KeyboardInterrupt(f"{error.message}; {error.hint}") from error
    finally:
        signals.give_back()
