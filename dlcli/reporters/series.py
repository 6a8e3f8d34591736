"""How far many trainings in a row have come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from dlcli.errors import visible
from dlcli.reporters.base import Progress, settle


class SeriesReporter(Protocol):
    """Shows how far a series has come."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Show what is being done, and how much of all is behind it."""

    def tell(self, line: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Leave the terminal as it was found; called in any case."""


class SilentSeries:
    """Shows nothing."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Show nothing."""

    def tell(self, line: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to leave."""


class PlainSeries:
    """Writes lines without escape codes.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def advance(self, what: str, done: int, total: int) -> None:
        """Write nothing: logs stay short."""

    def tell(self, line: str) -> None:
        """Write a line."""
        self._stream.write(visible(line) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing to leave."""


class RichSeries:
    """Draws a bar on stderr, under the lines that stay."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.fields[what]}"), BarColumn(bar_width=None), TimeRemainingColumn(compact=True))
        self._bar = Progress(*columns, console=self._console, expand=True, transient=True)
        self._task = self._bar.add_task("", what="", total=None)

    def advance(self, what: str, done: int, total: int) -> None:
        """Move the bar; it appears with the first move."""
        from rich.markup import escape

        self._bar.start()
        self._bar.update(self._task, completed=done, total=total, what=escape(visible(what)))

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self._console.print(Text(visible(line)), soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def choose_series_reporter(progress: Progress) -> SeriesReporter:
    """Return the reporter asked for."""
    match settle(progress):
        case "rich":
            return RichSeries()
        case "plain":
            return PlainSeries(sys.stderr)
        case _:
            return SilentSeries()
