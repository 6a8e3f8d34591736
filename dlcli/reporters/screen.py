"""Terminal screen with lines, and below them a loss curve and a progress bar that are redrawn in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from dlcli.errors import visible
from dlcli.reporters.formats import sparkline
from dlcli.text import format_clock, format_seconds, wrap

Render: TypeAlias = Callable[[int], Text]  # returns lines for the width of the terminal

_MAX_WIDTH = 100  # largest width of the bar with its texts; after a resize, remains of a wider bar may stay visible
_ECHO = 2  # columns after the bar for ^C, which a terminal echoes there; the line must not wrap
_LEAST_BAR = 12  # smallest width of the bar without its texts


class Screen:
    """Lines, a loss curve and a progress bar on a terminal.

    Args:
        console: Console to draw on; None selects stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.fields[label]}", style="bold"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[texts]}"),
            console=self._console,
            expand=True,
        )
        self._live: Live | None = None
        self._width = 0  # columns of the widest line that was drawn live
        self._printed: list[Render] = []  # everything above the bar, to print it again after a resize
        self._losses: list[float] = []
        self._curve = ""

    def print(self, render: Render) -> None:
        """Print lines above the bar."""
        self._printed.append(render)
        self._console.print(render(self._console.width), soft_wrap=True)

    def print_text(self, heading: str, style: str, text: str) -> None:
        """Print text that is wrapped beside a heading of a certain style."""

        def render(width: int) -> Text:
            lines = Text(wrap(visible(text), width, start=heading))
            lines.stylize(style, 0, len(heading.rstrip()))
            return lines

        self.print(render)

    def note(self, text: str) -> None:
        """Print a note above the bar."""
        self.print_text("note: ", "yellow", text)

    def open(self, total: int, label: str, done: int = 0) -> None:
        """Draw a new bar without a curve; an earlier bar stays visible above it."""
        self._losses = []
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task("", total=total, completed=done, label=label, texts="")
        self._draw_live()

    def add_loss(self, name: str, value: float) -> None:
        """Add a loss to the curve, and use `name` as the label of the curve."""
        self._curve = name
        self._losses.append(value)

    def move(self, label: str, done: int, texts: Sequence[str]) -> None:
        """Move the bar; show as many texts beside it as fit, and the time left."""
        self._redraw_after_resize()
        (task,) = self._progress.task_ids
        self._progress.update(task, completed=done, label=label)
        left = self._progress.tasks[0].time_remaining
        self._show(texts, "" if left is None else f"{format_clock(left)} left")
        if self._live is not None:
            self._live.update(self._below())

    def end(self, texts: Sequence[str]) -> None:
        """Show as many texts beside the bar as fit, and the elapsed time; stop drawing."""
        if self._progress.task_ids:
            self._show(texts, f"in {format_seconds(self._progress.tasks[0].elapsed or 0.0)}")
        self.close()

    def close(self) -> None:
        """Stop drawing; everything stays visible."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            if not self._console.is_terminal:  # Rich then omits the last line break
                self._console.line()

    def _show(self, texts: Sequence[str], last: str) -> None:
        (task,) = self._progress.task_ids
        room = self._width - len(self._progress.tasks[0].fields["label"]) - _LEAST_BAR - 2
        self._progress.update(task, texts=_join_fitting(texts, last, room))

    def _draw_live(self) -> None:
        """Start to draw the curve and the bar below everything printed so far."""
        self._width = min(self._console.width - _ECHO, _MAX_WIDTH)
        self._live = Live(self._below(), console=self._console, refresh_per_second=8)
        self._live.start()

    def _below(self) -> Group:
        parts: list[RenderableType] = [Constrain(self._progress, self._width)]
        if self._losses:
            label = f"{self._curve}, log  "
            curve = sparkline(self._losses, max(8, self._width - len(label)))
            parts.insert(0, Text.assemble((label, "dim"), (curve, "cyan")))
        return Group(*parts)

    def _redraw_after_resize(self) -> None:
        """Draw everything again on a terminal that is now narrower than the bar.

        Such a terminal may have wrapped the bar or cut it off, so the position of the bar is unknown.
        """
        if self._live is None or self._console.width >= self._width:
            return
        self._live.stop()
        self._console.clear()
        for render in self._printed:
            self._console.print(render(self._console.width), soft_wrap=True)
        self._draw_live()


def _join_fitting(texts: Sequence[str], last: str, room: int) -> str:
    """Return as many of the texts as fit into `room` characters, always followed by `last`."""
    for count in range(len(texts), -1, -1):
        text = " · ".join(part for part in (*texts[:count], last) if part)
        if len(text) <= room:
            return text
    return last
