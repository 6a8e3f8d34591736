"""Plain-text reporter: lines for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from dlcli.errors import visible
from dlcli.reporters.formats import format_lr
from dlcli.text import fold, format_seconds
from dlcli.training.events import EpochEnded, Event, FitEnded, RunStarted

SHORT_LINES = 10  # lines of a run with many short epochs
LONG_SECONDS = 5.0  # without a line for this long, every epoch gets one


class PlainReporter:
    """Reporter that writes lines without escape codes.

    Args:
        stream: Text stream to write to.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._epochs, self._headline = 0, ""
        self._started, self._written, self._highest_lr = 0.0, 0.0, 0.0

    def handle(self, event: Event) -> None:
        """Write the overview of the run, its epochs (ten lines if they are many and short) and the total time."""
        if isinstance(event, RunStarted):
            self._epochs, self._headline, self._started = event.epochs, event.headline, self._clock()
            self._written = self._started
            for heading, text in event.essentials:
                self._write(f"{heading:<9} {text}")
            for note in event.notes:
                self.note(note)
        elif isinstance(event, EpochEnded):
            self._highest_lr = max(self._highest_lr, event.lr)
            stride = -(-self._epochs // SHORT_LINES)
            is_late = self._clock() - self._written >= LONG_SECONDS
            if is_late or event.epoch % stride == 0 or event.epoch in (1, self._epochs):
                self._write_epoch(event)
        elif isinstance(event, FitEnded):
            elapsed = format_seconds(self._clock() - self._started)
            early = "; stopped early" if event.reason == "early_stopping" else ""
            self._write(f"trained for {event.epochs:,} epoch{'' if event.epochs == 1 else 's'} in {elapsed}{early}")

    def _write_epoch(self, event: EpochEnded) -> None:
        width = len(str(self._epochs))
        shown = {name: event.val[name] for name in ("loss", self._headline) if name in event.val}
        metrics = "".join(f"  val {name} {value:.4f}" for name, value in shown.items())
        best = "  best" if event.is_best else ""
        self._write(
            f"epoch {event.epoch:>{width}}/{self._epochs}  train loss {event.train_loss:.4f}{metrics}"
            f"  lr {format_lr(event.lr, self._highest_lr)}  {format_seconds(event.epoch_seconds)}{best}"
        )
        self._written = self._clock()

    def note(self, text: str) -> None:
        """Write a line that starts with `note:`."""
        self._write(f"note: {text}")

    def close(self) -> None:
        """Do nothing."""

    def _write(self, line: str) -> None:
        self._stream.write(fold(visible(line), self._stream) + "\n")
        self._stream.flush()
