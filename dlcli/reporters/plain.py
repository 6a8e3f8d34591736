"""Plain-text reporter: lines for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from dlcli.errors import visible
from dlcli.reporters.formats import format_lr
from dlcli.reporters.group import describe_means, describe_members
from dlcli.reporters.sweep import describe_trial, name_trial
from dlcli.text import fold, format_seconds
from dlcli.training.events import (
    EpochEnded,
    Event,
    FitEnded,
    GroupEnded,
    GroupProgress,
    GroupStarted,
    RunStarted,
    SweepEnded,
    SweepStarted,
    TrialEnded,
)

SHORT_LINES = 10  # number of lines for a run with many short epochs
LONG_SECONDS = 5.0  # time without a line after which the next epoch gets one


class PlainReporter:
    """Reporter that writes lines without escape codes.

    Args:
        stream: Text stream to write to.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._epochs, self._headline = 0, ""
        self._group: GroupStarted | None = None
        self._tenth = self._trials = 0
        self._started, self._written, self._highest_lr = 0.0, 0.0, 0.0

    def handle(self, event: Event) -> None:
        """Write the overview of the run, its epochs (ten lines if they are many and short) and the total time."""
        if isinstance(event, RunStarted):
            self._epochs, self._headline, self._started = event.epochs, event.headline, self._clock()
            self._written = self._started
            for heading, text in event.essentials:
                self._write(f"{heading:<9} {text}")
            for note in event.notes:
                self.note(note)
        elif isinstance(event, EpochEnded):
            self._highest_lr = max(self._highest_lr, event.lr)
            stride = -(-self._epochs // SHORT_LINES)
            is_late = self._clock() - self._written >= LONG_SECONDS
            if is_late or event.epoch % stride == 0 or event.epoch in (1, self._epochs):
                self._write_epoch(event)
        elif isinstance(event, GroupStarted | GroupProgress | GroupEnded):
            self._handle_group(event)
        elif isinstance(event, SweepStarted | TrialEnded | SweepEnded):
            self._handle_sweep(event)
        elif isinstance(event, FitEnded):
            elapsed = format_seconds(self._clock() - self._started)
            early = "; stopped early" if event.reason == "early_stopping" else ""
            self._write(f"trained for {event.epochs:,} epoch{'' if event.epochs == 1 else 's'} in {elapsed}{early}")

    def _handle_group(self, event: GroupStarted | GroupProgress | GroupEnded) -> None:
        """Write the overview of a group, its progress (about ten lines, more if it is slow) and the total time."""
        if isinstance(event, GroupStarted):
            self._group, self._started = event, self._clock()
            self._written, self._tenth = self._started, 0
            for heading, text in event.essentials:
                self._write(f"{heading:<9} {text}")
            for note in event.notes:
                self.note(note)
            return
        assert self._group is not None
        progress = event.progress if isinstance(event, GroupEnded) else event
        members = describe_members(self._group, progress)
        if isinstance(event, GroupEnded):
            elapsed = format_seconds(self._clock() - self._started)
            self._write(f"trained for {progress.epochs:,} epochs in {elapsed}: {members}")
            return
        tenth = SHORT_LINES * progress.epochs // self._group.epochs
        if tenth > self._tenth or self._clock() - self._written >= LONG_SECONDS:
            means = "".join(f"  {text}" for text in describe_means(self._group, progress))
            width = len(f"{self._group.epochs:,}")
            self._write(f"epochs {progress.epochs:>{width},}/{self._group.epochs:,}  {members}{means}")
            self._written, self._tenth = self._clock(), tenth

    def _handle_sweep(self, event: SweepStarted | TrialEnded | SweepEnded) -> None:
        """Write the overview of a sweep, and a line for each trial."""
        if isinstance(event, SweepStarted):
            self._trials, self._started = event.trials, self._clock()
            for heading, text in event.essentials:
                self._write(f"{heading:<9} {text}")
            for note in event.notes:
                self.note(note)
        elif isinstance(event, TrialEnded):
            self._write(f"{name_trial(event, self._trials)}  {describe_trial(event)}")
        else:
            self._write(f"ran trials for {format_seconds(self._clock() - self._started)}")

    def _write_epoch(self, event: EpochEnded) -> None:
        width = len(str(self._epochs))
        shown = {name: event.val[name] for name in ("loss", self._headline) if name in event.val}
        metrics = "".join(f"  val {name} {value:.4f}" for name, value in shown.items())
        best = "  best" if event.is_best else ""
        self._write(
            f"epoch {event.epoch:>{width}}/{self._epochs}  train loss {event.train_loss:.4f}{metrics}"
            f"  lr {format_lr(event.lr, self._highest_lr)}  {format_seconds(event.epoch_seconds)}{best}"
        )
        self._written = self._clock()

    def note(self, text: str) -> None:
        """Write a line that starts with `note:`."""
        self._write(f"note: {text}")

    def close(self) -> None:
        """Do nothing."""

    def _write(self, line: str) -> None:
        self._stream.write(fold(visible(line), self._stream) + "\n")
        self._stream.flush()
