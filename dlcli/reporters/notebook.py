"""Live display of training in a Jupyter notebook: one output that is updated in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from dlcli.errors import visible
from dlcli.reporters.formats import format_rate, sparkline
from dlcli.reporters.group import describe_means, describe_members
from dlcli.reporters.sweep import describe_trial, describe_value, name_trial
from dlcli.text import format_seconds
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
from dlcli.training.listeners import NO_LISTENERS, Listeners

_REFRESH_SECONDS = 0.125
_TURNS = (RunStarted, FitEnded, GroupStarted, GroupEnded, SweepStarted, SweepEnded)  # events shown without delay
_CURVE = 60  # width of the loss curve in characters
_TRIALS = 10  # number of trials of a sweep that are shown, the last ones


@contextmanager
def notebook_listeners(given: Listeners | None) -> Iterator[Listeners]:
    """Yield the given listeners; by default, listeners that show training in a notebook and do nothing elsewhere."""
    if given is not None or not in_notebook():
        yield given or NO_LISTENERS
        return
    reporter = NotebookReporter()
    try:
        yield Listeners(reporter.handle, reporter.note)
    finally:
        reporter.close()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, without importing IPython."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


class NotebookReporter:
    """Reporter that updates one output of a notebook cell."""

    def __init__(self) -> None:
        self._handle: Any = None  # display handle, once the output is shown
        self._shown_at = 0.0
        self._started: RunStarted | None = None
        self._group: GroupStarted | None = None
        self._sweep: SweepStarted | None = None
        self._trials: list[str] = []
        self._lines: list[str] = []
        self._notes: list[str] = []
        self._losses: list[float] = []  # val/loss, or train/loss without a validation split
        self._position = self._metrics = ""
        self._step = 0
        self._begin = time.perf_counter()

    def handle(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, RunStarted):
            self._started = event
            self._lines = [f"{heading:<9} {text}" for heading, text in event.essentials]
            self._notes += event.notes
            self._position = f"epoch 1 of {event.epochs}"
        elif isinstance(event, StepEnded):
            speed = format_rate(event.examples_per_second)
            self._move(event.epoch, event.step, f"train loss {event.train_loss:.4f}, {speed}")
        elif isinstance(event, EpochEnded):
            self._losses.append(event.val.get("loss", event.train_loss))
            val = "".join(f", val {name} {value:.4f}" for name, value in event.val.items())
            self._move(event.epoch, event.step, f"train loss {event.train_loss:.4f}{val}")
        elif isinstance(event, GroupStarted):
            self._group, self._losses, self._begin = event, [], time.perf_counter()
            self._lines += [f"{heading:<9} {text}" for heading, text in event.essentials]  # below the sweep's lines
            self._notes += event.notes
        elif isinstance(event, GroupProgress | GroupEnded):
            self._move_group(event)
        elif isinstance(event, SweepStarted | TrialEnded | SweepEnded):
            self._handle_sweep(event)
        elif isinstance(event, FitEnded):
            early = ", stopped early" if event.reason == "early_stopping" else ""
            self._position += f"{early}, best epoch {event.best_epoch}, in {self._elapsed()}"
        self._show(at_once=isinstance(event, _TURNS))

    def note(self, text: str) -> None:
        """Show a line of text."""
        self._notes.append(text)
        self._show(at_once=True)

    def close(self) -> None:
        """Show the last state."""
        if self._handle is not None:
            self._show(at_once=True)

    def _move(self, epoch: int, step: int, metrics: str) -> None:
        assert self._started is not None
        self._step, self._metrics = step, metrics
        self._position = f"epoch {epoch} of {self._started.epochs}"

    def _move_group(self, event: GroupProgress | GroupEnded) -> None:
        assert self._group is not None
        progress = event.progress if isinstance(event, GroupEnded) else event
        self._step = progress.epochs
        if progress.loss is not None:
            self._losses.append(progress.loss)
        self._position = f"epochs {progress.epochs:,} of {self._group.epochs:,}"
        if isinstance(event, GroupEnded):
            self._position += f" in {self._elapsed()}"
        self._metrics = ", ".join([describe_members(self._group, progress), *describe_means(self._group, progress)])

    def _handle_sweep(self, event: SweepStarted | TrialEnded | SweepEnded) -> None:
        if isinstance(event, SweepStarted):
            self._sweep, self._step = event, event.ended
            self._lines = [f"{heading:<9} {text}" for heading, text in event.essentials]
            self._notes += event.notes
            self._position = f"{event.ended} of {event.trials} trials"
            return
        assert self._sweep is not None
        if isinstance(event, SweepEnded):
            self._position += f" in {self._elapsed()}"
            return
        self._step = event.ended
        self._trials.append(f"{name_trial(event, self._sweep.trials)}  {describe_trial(event)}")
        self._position = f"{event.ended} of {self._sweep.trials} trials"
        if event.is_best:
            self._metrics = f"best {describe_value(event)}: trial {event.number}"

    def _elapsed(self) -> str:
        return format_seconds(time.perf_counter() - self._begin)

    def _show(self, *, at_once: bool) -> None:
        """Update the output, at most a few times per second unless `at_once` is set."""
        now = time.perf_counter()
        if not at_once and now - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = now
        content = {"text/plain": self._as_text(), "text/html": self._as_html()}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def _as_text(self) -> str:
        """Return the run, notes, the position, metrics and the loss curve as lines."""
        curve = f"loss {sparkline(self._losses, _CURVE)}" if self._losses else ""
        notes = [f"note: {note}" for note in self._notes]
        lines = [*self._lines, *notes, *self._trials[-_TRIALS:], self._position, self._metrics, curve]
        return "\n".join(visible(line) for line in lines if line)

    def _as_html(self) -> str:
        bar = ""
        total = self._group.epochs if self._group is not None else self._sweep.trials if self._sweep is not None else 0
        if self._started is not None:
            total = self._started.epochs * self._started.steps_per_epoch
        if total:
            bar = f'<progress max="{total}" value="{self._step}" style="width: 40em"></progress>'
        return f'<pre style="line-height: 1.3">{escape(self._as_text())}</pre>{bar}'
