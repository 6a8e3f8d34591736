"""Live terminal display: progress bar, loss curve and table of epochs."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.text import Text

from dlcli.reporters.formats import format_lr, format_rate
from dlcli.reporters.group import describe_means, describe_members
from dlcli.reporters.screen import Screen
from dlcli.reporters.sweep import describe_trial, describe_value, name_trial
from dlcli.text import format_seconds
from dlcli.training import events
from dlcli.training.events import Event

MAX_ROWS = 50  # longer runs show every n-th epoch; metrics.csv has all of them
_BEST = 6  # width of "  best"
# Columns of the table with their widths, in display order, and the columns that a narrow terminal drops, first to last.
_COLUMNS = {"epoch": 5, "train loss": 12, "val loss": 10, "val metric": 14, "lr": 10, "time": 9}
_DROPPED = ("lr", "time", "train loss", "val loss")


class RichReporter:
    """Reporter that draws on a terminal.

    Args:
        console: Console to draw on; None selects stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._screen = Screen(console)
        self._display: _Display | None = None

    def handle(self, event: Event) -> None:
        """Update the display after an event."""
        if isinstance(event, events.RunStarted | events.GroupStarted | events.SweepStarted):
            for heading, text in event.essentials:
                self._screen.print_text(f"{heading:<9} ", "dim", text)
            for note in event.notes:
                self.note(note)
            self._display = _open_display(self._screen, event)
        elif self._display is not None:
            self._display.handle(event)

    def note(self, text: str) -> None:
        """Print a line above the display."""
        self._screen.note(text)

    def close(self) -> None:
        """Stop drawing; the table, the bar and the curve stay visible."""
        self._screen.close()


class _Display(Protocol):
    """Drawing of the events of one training, group or sweep."""

    def handle(self, event: Event) -> None:
        """Update the display after an event."""


def _open_display(screen: Screen, event: events.RunStarted | events.GroupStarted | events.SweepStarted) -> _Display:
    if isinstance(event, events.RunStarted):
        return _RunDisplay(screen, event)
    return _GroupDisplay(screen, event) if isinstance(event, events.GroupStarted) else _SweepDisplay(screen, event)


class _RunDisplay:
    """Table of epochs, loss curve and bar of a training."""

    def __init__(self, screen: Screen, started: events.RunStarted) -> None:
        self._screen, self._started = screen, started
        self._metric = ""
        self._highest_lr = 0.0
        self._columns: list[str] = []
        screen.print(self._heading)
        screen.open(started.epochs * started.steps_per_epoch, f"epoch 1/{started.epochs}")

    def _heading(self, width: int) -> Text:
        """Return the headings of the columns that fit; the rows below have the same columns."""
        self._columns = _fitting_columns(width)
        names = {name: name for name in _COLUMNS} | {"val metric": f"val {self._started.headline}"}
        return Text(f"\n{self._row(names)}", "bold")

    def _row(self, cells: dict[str, str]) -> str:
        return "".join(f"{cells[name]:>{_COLUMNS[name]}}" for name in self._columns)

    def handle(self, event: Event) -> None:
        """Update the display after an event."""
        if isinstance(event, events.StepEnded):
            self._move(event)
        elif isinstance(event, events.EpochEnded):
            self._end_epoch(event)
        elif isinstance(event, events.FitEnded):
            self._screen.end(["stopped early"] if event.reason == "early_stopping" else [])

    def _move(self, event: events.StepEnded | events.EpochEnded) -> None:
        texts = [f"loss {event.train_loss:.4f}", self._metric, format_rate(event.examples_per_second)]
        self._screen.move(f"epoch {event.epoch}/{self._started.epochs}", event.step, texts)

    def _end_epoch(self, event: events.EpochEnded) -> None:
        name, loss = ("val loss", event.val["loss"]) if event.val else ("train loss", event.train_loss)
        self._screen.add_loss(name, loss)
        headline = event.val.get(self._started.headline)
        self._metric = "" if headline is None else f"val {self._started.headline} {headline:.4f}"
        self._highest_lr = max(self._highest_lr, event.lr)
        self._move(event)
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
            best = "  best" if event.is_best else ""
            self._screen.print(lambda _: Text.assemble(self._row(cells), (best, "green")))


class _GroupDisplay:
    """Curve of the mean loss and bar of a group of seeds."""

    def __init__(self, screen: Screen, started: events.GroupStarted) -> None:
        self._screen, self._started = screen, started
        screen.open(started.epochs, f"0/{started.epochs:,} epochs")

    def handle(self, event: Event) -> None:
        """Update the display after an event."""
        if isinstance(event, events.GroupProgress):
            self._move(event)
        elif isinstance(event, events.GroupEnded):
            self._move(event.progress)
            self._screen.end([describe_members(self._started, event.progress)])

    def _move(self, progress: events.GroupProgress) -> None:
        if progress.loss is not None:
            self._screen.add_loss("mean loss", progress.loss)
        texts = [describe_members(self._started, progress), *describe_means(self._started, progress)]
        self._screen.move(f"{progress.epochs:,}/{self._started.epochs:,} epochs", progress.epochs, texts)


class _SweepDisplay:
    """Lines of the trials, and bar of a sweep."""

    def __init__(self, screen: Screen, started: events.SweepStarted) -> None:
        self._screen, self._trials = screen, started.trials
        self._best = ""
        screen.open(started.trials, f"{started.ended}/{started.trials} trials", started.ended)

    def handle(self, event: Event) -> None:
        """Update the display after an event."""
        if isinstance(event, events.TrialEnded):
            style = "bold green" if event.is_best else ""
            self._screen.print_text(f"{name_trial(event, self._trials)}  ", style, describe_trial(event))
            if event.is_best:
                self._best = f"best {describe_value(event)}"
            self._screen.move(f"{event.ended}/{self._trials} trials", event.ended, [self._best])
        elif isinstance(event, events.SweepEnded):
            self._screen.end([self._best])


def _fitting_columns(width: int) -> list[str]:
    """Return the columns of the table that fit into `width` characters."""
    columns = dict(_COLUMNS)
    for name in _DROPPED:
        if sum(columns.values()) + _BEST > width:
            del columns[name]
    return list(columns)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
