"""Plain-text reporter: one line per epoch, for logs and pipes."""

from __future__ import annotations

from typing import TextIO

from dlcli.errors import visible
from dlcli.training.events import EpochEnded, Event, RunStarted


class PlainReporter:
    """Reporter that writes lines without escape codes.

    Args:
        stream: Text stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._epochs = 0

    def handle(self, event: Event) -> None:
        """Write the overview of the run, and a line for each epoch."""
        if isinstance(event, RunStarted):
            self._epochs = event.epochs
            for heading, text in event.essentials:
                self._write(f"{heading:<9} {text}")
            for note in event.notes:
                self.note(note)
        elif isinstance(event, EpochEnded):
            width = len(str(self._epochs))
            metrics = "  ".join(f"val {name} {value:.4f}" for name, value in event.val.items())
            best = "  best" if event.is_best else ""
            self._write(
                f"epoch {event.epoch:>{width}}/{self._epochs}  train loss {event.train_loss:.4f}  {metrics}"
                f"  lr {event.lr:.3g}  {event.epoch_seconds:.2f} s{best}"
            )

    def note(self, text: str) -> None:
        """Write a line that starts with `note:`."""
        self._write(f"note: {text}")

    def close(self) -> None:
        """Do nothing."""

    def _write(self, line: str) -> None:
        self._stream.write(visible(line) + "\n")
        self._stream.flush()
