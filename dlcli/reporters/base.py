"""What every reporter does, and the choice of one."""

from __future__ import annotations

import os
import sys
from typing import Literal, Protocol, TypeAlias

from dlcli.training.events import Event

Progress: TypeAlias = Literal["auto", "rich", "plain", "none"]


class Reporter(Protocol):
    """Shows events to a person."""

    def handle(self, event: Event) -> None:
        """Show an event."""

    def note(self, text: str) -> None:
        """Show a line that is no event."""

    def close(self) -> None:
        """Leave the terminal as it was found; called in any case, and may be called twice."""


class SilentReporter:
    """Shows nothing."""

    def handle(self, event: Event) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to leave."""


def settle(progress: Progress) -> Progress:
    """Return what `auto` stands for here: `rich` on a terminal and `plain` where output is piped."""
    if progress != "auto":
        return progress
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return "rich" if on_terminal and not _is_dumb() else "plain"


def choose_reporter(progress: Progress) -> Reporter:
    """Return the reporter asked for."""
    progress = settle(progress)
    if progress == "rich":
        from dlcli.reporters.live import RichReporter

        return RichReporter()
    if progress == "plain":
        from dlcli.reporters.plain import PlainReporter

        return PlainReporter(sys.stderr)
    return SilentReporter()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("dumb", "unknown")
