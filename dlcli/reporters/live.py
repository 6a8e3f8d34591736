"""Live terminal display: progress bar, loss curve and table of epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from dlcli.errors import visible
from dlcli.reporters.formats import format_lr, format_rate
from dlcli.reporters.group import describe_means, describe_members
from dlcli.reporters.sweep import describe_trial, describe_value, name_trial
from dlcli.text import format_clock, format_seconds, wrap
from dlcli.training.events import (
    EpochEnded,
    Event,
    FitEnded,
    GroupEnded,
    GroupProgress,
    GroupStarted,
    RunStarted,
    StepEnded,
    SweepEnded,
    SweepStarted,
    TrialEnded,
)

MAX_ROWS = 50  # longer runs show every n-th epoch; metrics.csv has all of them
MAX_WIDTH = 100  # columns of the bar: on a wide terminal, a bar of full width would leave remains after a resize
BARS = "▁▂▃▄▅▆▇█"
_ECHO = 2  # columns of the ^C that a terminal echoes behind the bar; it must not wrap
_LEAST_BAR = 12  # columns that the texts beside the bar leave to it
_BEST = 6  # columns of "  best"
# Columns of the table with their widths, in display order, and in the order in which a narrow terminal drops them.
_COLUMNS = {"epoch": 5, "train loss": 12, "val loss": 10, "val metric": 14, "lr": 10, "time": 9}
_DROPPED = ("lr", "time", "train loss", "val loss")


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
            console=self._console,
            expand=True,
        )
        self._live: Live | None = None
        self._task: TaskID | None = None
        self._started: RunStarted | None = None
        self._group: GroupStarted | None = None
        self._losses: list[float] = []  # val/loss, or train/loss without a validation split
        self._curve = "val loss"
        self._metric = ""
        self._highest_lr = 0.0
        self._width = 0  # columns of the widest line that was drawn live
        self._overview: list[
            tuple[str, str, str]
        ] = []  # headings, styles and texts: everything above the bar, to draw it again after a resize
        self._rows: list[tuple[dict[str, str], bool]] = []

    def handle(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, StepEnded):
            self._move(event.epoch, event.step, event.train_loss, event.examples_per_second)
        elif isinstance(event, EpochEnded):
            self._end_epoch(event)
        elif isinstance(event, FitEnded):
            self._end(event)
        else:
            self._handle_several(event)

    def _handle_several(self, event: Event) -> None:
        """Draw an event of a group or a sweep."""
        if isinstance(event, GroupStarted):
            self._start_group(event)
        elif isinstance(event, GroupProgress):
            self._move_group(event)
        elif isinstance(event, GroupEnded):
            self._end_group(event)
        elif isinstance(event, SweepStarted):
            self._start_sweep(event)
        elif isinstance(event, TrialEnded):
            self._end_trial(event)
        elif isinstance(event, SweepEnded):
            self._end_sweep()

    def note(self, text: str) -> None:
        """Print a line above the display."""
        self._print_overview("note: ", "yellow", visible(text))

    def close(self) -> None:
        """Stop drawing; the table, the bar and the curve stay visible."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            if not self._console.is_terminal:  # Rich then omits the last line break
                self._console.line()

    def _start(self, event: RunStarted) -> None:
        self._started = event
        self._open(event, event.epochs * event.steps_per_epoch, f"epoch 1/{event.epochs}")

    def _open(self, event: RunStarted | GroupStarted | SweepStarted, total: int, label: str, done: int = 0) -> None:
        """Print the overview, and draw a new bar below it; that of a sweep before its confirmation stays above."""
        for heading, text in event.essentials:
            self._print_overview(f"{heading:<9} ", "dim", visible(text))
        for note in event.notes:
            self.note(note)
        if isinstance(event, RunStarted):
            self._print_heading()
        self._losses = []
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._task = self._progress.add_task("", total=total, completed=done, epoch=label, metrics="")
        self._draw_live()

    def _start_group(self, event: GroupStarted) -> None:
        self._group = event
        self._open(event, event.epochs, f"0/{event.epochs:,} epochs")

    def _move_group(self, event: GroupProgress) -> None:
        assert self._group is not None
        assert self._task is not None
        self._redraw_after_resize()
        if event.loss is not None:
            self._curve = "mean loss"
            self._losses.append(event.loss)
        self._progress.update(self._task, completed=event.epochs)
        left = self._progress.tasks[0].time_remaining
        label = f"{event.epochs:,}/{self._group.epochs:,} epochs"
        parts = [describe_members(self._group, event), *describe_means(self._group, event)]
        room = self._width - len(label) - _LEAST_BAR - 2
        metrics = _join_fitting(parts, "" if left is None else f"{format_clock(left)} left", room)
        self._progress.update(self._task, epoch=label, metrics=metrics)
        if self._live is not None:
            self._live.update(self._below())

    def _end_group(self, event: GroupEnded) -> None:
        self._move_group(event.progress)
        assert self._group is not None
        assert self._task is not None
        elapsed = self._progress.tasks[0].elapsed or 0.0
        room = self._width - len(self._progress.tasks[0].fields["epoch"]) - _LEAST_BAR - 2
        members = describe_members(self._group, event.progress)
        self._progress.update(self._task, metrics=_join_fitting([members], f"in {format_seconds(elapsed)}", room))
        self.close()

    def _start_sweep(self, event: SweepStarted) -> None:
        self._open(event, event.trials, f"{event.ended}/{event.trials} trials", event.ended)

    def _end_trial(self, event: TrialEnded) -> None:
        assert self._task is not None
        self._redraw_after_resize()
        total = int(self._progress.tasks[0].total or 0)
        heading = f"{name_trial(event, total)}  "
        self._print_overview(heading, "bold green" if event.is_best else "", visible(describe_trial(event)))
        if event.is_best:
            self._metric = f"best {describe_value(event)}"
        label = f"{event.ended}/{total} trials"
        self._progress.update(self._task, completed=event.ended, epoch=label)
        left = self._progress.tasks[0].time_remaining
        self._update_metrics(label, "" if left is None else f"{format_clock(left)} left")

    def _end_sweep(self) -> None:
        if self._task is not None:
            elapsed = format_seconds(self._progress.tasks[0].elapsed or 0.0)
            self._update_metrics(self._progress.tasks[0].fields["epoch"], f"in {elapsed}")
        self.close()

    def _update_metrics(self, label: str, last: str) -> None:
        """Show the best value of a sweep and a last text beside the bar, as far as they fit."""
        assert self._task is not None
        room = self._width - len(label) - _LEAST_BAR - 2
        self._progress.update(self._task, metrics=_join_fitting([self._metric], last, room))

    def _draw_live(self) -> None:
        """Start to draw the curve and the bar below everything printed so far."""
        self._width = min(self._console.width - _ECHO, MAX_WIDTH)
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

        Such a terminal may have wrapped the bar or cut it off, so that the place where it begins is unknown.
        """
        if self._live is None or self._console.width >= self._width:
            return
        self._live.stop()
        self._console.clear()
        for line in self._overview:
            self._print_text(*line)
        if self._started is not None:
            self._print_heading()
        for cells, is_best in self._rows:
            self._print_row(cells, is_best=is_best)
        self._draw_live()

    def _move(self, epoch: int, step: int, train_loss: float, examples_per_second: float) -> None:
        assert self._started is not None
        assert self._task is not None
        self._redraw_after_resize()
        label = f"epoch {epoch}/{self._started.epochs}"
        self._progress.update(self._task, completed=step)
        left = self._progress.tasks[0].time_remaining
        metrics = [f"loss {train_loss:.4f}", self._metric, format_rate(examples_per_second)]
        last = "" if left is None else f"{format_clock(left)} left"
        room = self._width - len(label) - _LEAST_BAR - 2
        self._progress.update(self._task, epoch=label, metrics=_join_fitting(metrics, last, room))

    def _end_epoch(self, event: EpochEnded) -> None:
        assert self._started is not None
        self._curve, loss = ("val loss", event.val["loss"]) if event.val else ("train loss", event.train_loss)
        self._losses.append(loss)
        headline = event.val.get(self._started.headline)
        self._metric = "" if headline is None else f"val {self._started.headline} {headline:.4f}"
        self._highest_lr = max(self._highest_lr, event.lr)
        self._move(event.epoch, event.step, event.train_loss, event.examples_per_second)
        if self._live is not None:
            self._live.update(self._below())
        stride = -(-self._started.epochs // MAX_ROWS)
        if event.epoch % stride == 0 or event.epoch in (1, self._started.epochs):
            cells = {
                "epoch": str(event.epoch),
                "train loss": _cell(event.train_loss),
                "val loss": _cell(event.val.get("loss")),
                "val metric": _cell(headline),
                "lr": format_lr(event.lr, self._highest_lr),
                "time": format_seconds(event.epoch_seconds),
            }
            self._rows.append((cells, event.is_best))
            self._print_row(cells, is_best=event.is_best)

    def _end(self, event: FitEnded) -> None:
        if self._started is not None and self._task is not None:
            elapsed = self._progress.tasks[0].elapsed or 0.0
            early = "stopped early, " if event.reason == "early_stopping" else ""
            self._progress.update(self._task, metrics=f"{early}in {format_seconds(elapsed)}")
        self.close()

    def _print_heading(self) -> None:
        """Print the headings of the columns that fit on the terminal."""
        assert self._started is not None
        self._columns = _fitting_columns(self._console.width)
        metric = f"val {self._started.headline}"
        row = _row({name: metric if name == "val metric" else name for name in self._columns})
        self._console.print(Text(f"\n{row}", "bold"), soft_wrap=True)

    def _print_row(self, cells: dict[str, str], *, is_best: bool) -> None:
        row = _row({name: cells[name] for name in self._columns})
        self._console.print(Text.assemble(row, ("  best" if is_best else "", "green")), soft_wrap=True)

    def _print_overview(self, heading: str, style: str, text: str) -> None:
        self._overview.append((heading, style, text))
        self._print_text(heading, style, text)

    def _print_text(self, heading: str, style: str, text: str) -> None:
        lines = Text(wrap(text, self._console.width, start=heading))
        lines.stylize(style, 0, len(heading.rstrip()))
        self._console.print(lines, soft_wrap=True)


def _fitting_columns(width: int) -> list[str]:
    """Return the columns of the table that fit into `width` characters."""
    columns = dict(_COLUMNS)
    for name in _DROPPED:
        if sum(columns.values()) + _BEST > width:
            del columns[name]
    return list(columns)


def _row(cells: dict[str, str]) -> str:
    return "".join(f"{text:>{_COLUMNS[name]}}" for name, text in cells.items())


def _join_fitting(parts: Sequence[str], last: str, room: int) -> str:
    """Return as many of the parts as fit into `room` characters, and the last in any case."""
    for count in range(len(parts), -1, -1):
        text = " · ".join(part for part in (*parts[:count], last) if part)
        if len(text) <= room:
            return text
    return last


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


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
