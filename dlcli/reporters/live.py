"""Live terminal display: progress bar, loss curve and table of epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from dlcli.errors import visible
from dlcli.training.events import EpochEnded, Event, FitEnded, RunStarted, StepEnded

MAX_ROWS = 50  # longer runs show every n-th epoch; metrics.csv has all of them
BARS = "▁▂▃▄▅▆▇█"


class RichReporter:
    """Reporter that draws on a terminal.

    Args:
        console: Console to draw on; None selects stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.fields[epoch]}", style="bold"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            expand=True,
        )
        self._live: Live | None = None
        self._task: TaskID | None = None
        self._started: RunStarted | None = None
        self._val_loss: list[float] = []
        self._metric = ""

    def handle(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, StepEnded):
            self._move(event.epoch, event.step, event.train_loss, event.examples_per_second)
        elif isinstance(event, EpochEnded):
            self._end_epoch(event)
        elif isinstance(event, FitEnded):
            self.close()

    def note(self, text: str) -> None:
        """Print a line above the display."""
        self._print(Text.assemble(("note: ", "yellow"), visible(text)))

    def close(self) -> None:
        """Stop drawing; the table, the bar and the curve stay visible."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            if not self._console.is_terminal:  # Rich then omits the last line break
                self._console.line()

    def _start(self, event: RunStarted) -> None:
        self._started = event
        for heading, text in event.essentials:
            self._print(Text.assemble((f"{heading:<9} ", "dim"), visible(text)))
        for note in event.notes:
            self.note(note)
        self._print(
            Text(f"\n{'epoch':>9}  train loss    val loss  {'val ' + event.headline:>12}        lr       s", "bold")
        )
        self._task = self._progress.add_task(
            "", total=event.epochs * event.steps_per_epoch, epoch=f"epoch 1/{event.epochs}", metrics=""
        )
        self._live = Live(self._progress, console=self._console, refresh_per_second=8)
        self._live.start()

    def _move(self, epoch: int, step: int, train_loss: float, examples_per_second: float) -> None:
        assert self._started is not None
        assert self._task is not None
        metrics = f"loss {train_loss:.4f}{self._metric} · {examples_per_second:,.0f}/s"
        label = f"epoch {epoch}/{self._started.epochs}"
        self._progress.update(self._task, completed=step, epoch=label, metrics=metrics)

    def _end_epoch(self, event: EpochEnded) -> None:
        assert self._started is not None
        self._val_loss.append(event.val["loss"])
        headline = event.val[self._started.headline]
        self._metric = f" · val {self._started.headline} {headline:.4f}"
        self._move(event.epoch, event.step, event.train_loss, event.examples_per_second)
        if self._live is not None:
            curve = Text.assemble(("val loss, log  ", "dim"), (sparkline(self._val_loss, 60), "cyan"))
            self._live.update(Group(curve, self._progress))
        stride = -(-self._started.epochs // MAX_ROWS)
        if event.epoch % stride == 0 or event.epoch in (1, self._started.epochs):
            row = (
                f"{event.epoch:>9}  {event.train_loss:>10.4f}  {event.val['loss']:>10.4f}  {headline:>12.4f}"
                f"  {event.lr:>8.3g}  {event.epoch_seconds:>6.2f}"
            )
            self._print(Text.assemble(row, ("  best" if event.is_best else "", "green")))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a curve as a line of block characters on a logarithmic scale.

    Args:
        values: Non-negative values in order; more than `width` values are averaged in equal groups.
        width: Maximum number of characters.
    """
    size = max(1, math.ceil(len(values) / width))
    means = [sum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    logs = [math.log(max(mean, 1e-30)) for mean in means]
    low, high = min(logs), max(logs)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((log - low) * scale)] for log in logs)
