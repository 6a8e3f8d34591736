"""Texts about the trials of a sweep, shared by the reporters."""

from __future__ import annotations

from dlcli.training.events import TrialEnded


def describe_trial(event: TrialEnded, trials: int) -> str:
    """Return a trial as a line: `trial 7  val accuracy 0.9512  20 epochs  optimizer.lr=0.1  best`."""
    width = len(str(trials - 1))
    value = "–" if event.value is None else f"{event.value:.4f}"
    state = "" if event.state == "finished" else f"  {event.state}"
    best = "  best" if event.is_best else ""
    name = event.metric.replace("/", " ")
    epochs = f"{event.epochs} epoch{'' if event.epochs == 1 else 's'}"
    return f"trial {event.number:>{width}}  {name} {value}  {epochs}{state}{best}  {event.settings}".rstrip()
