"""Progress reporters for a series of trainings."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from dlcli.errors import visible
from dlcli.reporters.base import Progress, resolve_progress
from dlcli.text import fold, wrap


class SeriesReporter(Protocol):
    """Display of the progress of a series of trainings."""

    def advance(self, label: str, done: int, total: int) -> None:
        """Show the name of the current training, and the completed epochs out of all epochs."""

    def tell(self, line: str) -> None:
        """Show a permanent line."""

    def close(self) -> None:
        """Restore the terminal; always called at the end."""


class SilentSeries:
    """Series reporter that shows nothing."""

    def advance(self, label: str, done: int, total: int) -> None:
        """Ignore the progress."""

    def tell(self, line: str) -> None:
        """Ignore the line."""

    def close(self) -> None:
        """Do nothing."""


class PlainSeries:
    """Series reporter that writes lines without escape codes.

    Args:
        stream: Text stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def advance(self, label: str, done: int, total: int) -> None:
        """Ignore the progress, to keep logs short."""

    def tell(self, line: str) -> None:
        """Write a line."""
        self._stream.write(fold(visible(line), self._stream) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing."""


class RichSeries:
    """Series reporter that draws a progress bar on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.fields[label]}"), BarColumn(bar_width=None), TimeRemainingColumn(compact=True))
        self._bar = Progress(*columns, console=self._console, expand=True, transient=True)
        self._task = self._bar.add_task("", label="", total=None)

    def advance(self, label: str, done: int, total: int) -> None:
        """Update the bar; the first update shows it."""
        from rich.markup import escape

        self._bar.start()
        self._bar.update(self._task, completed=done, total=total, label=escape(visible(label)))

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self._console.print(Text(wrap(visible(line), self._console.width, indent="  ")), soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


def choose_series_reporter(progress: Progress) -> SeriesReporter:
    """Return the series reporter for a progress style."""
    match resolve_progress(progress):
        case "rich":
            return RichSeries()
        case "plain":
            return PlainSeries(sys.stderr)
        case _:
            return SilentSeries()
