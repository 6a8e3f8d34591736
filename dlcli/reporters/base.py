"""Interface of the reporters, which show the progress of training, and selection of a reporter."""

from __future__ import annotations

import os
import sys
from typing import Literal, Protocol, TypeAlias

from dlcli.training.events import Event

Progress: TypeAlias = Literal["auto", "rich", "plain", "none"]


class Reporter(Protocol):
    """Display of training events."""

    def handle(self, event: Event) -> None:
        """Show an event."""

    def note(self, text: str) -> None:
        """Show a line of text."""

    def close(self) -> None:
        """Restore the terminal; always called at the end, possibly twice."""


class SilentReporter:
    """Reporter that shows nothing."""

    def handle(self, event: Event) -> None:
        """Ignore the event."""

    def note(self, text: str) -> None:
        """Ignore the text."""

    def close(self) -> None:
        """Do nothing."""


def resolve_progress(progress: Progress) -> Progress:
    """Resolve `auto` to `rich` on a terminal and to `plain` otherwise."""
    if progress != "auto":
        return progress
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return "rich" if on_terminal and not _is_dumb() else "plain"


def choose_reporter(progress: Progress) -> Reporter:
    """Return the reporter for a progress style."""
    progress = resolve_progress(progress)
    if progress == "rich":
        from dlcli.reporters.live import RichReporter

        return RichReporter()
    if progress == "plain":
        from dlcli.reporters.plain import PlainReporter

        return PlainReporter(sys.stderr)
    return SilentReporter()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("dumb", "unknown")
