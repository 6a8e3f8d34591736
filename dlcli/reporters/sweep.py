"""Texts about the trials of a sweep, shared by the reporters."""

from __future__ import annotations

from dlcli.training.events import TrialEnded


def name_trial(event: TrialEnded, trials: int) -> str:
    """Return the name of a trial: `trial  7`."""
    return f"trial {event.number:>{len(str(trials - 1))}}"


def describe_trial(event: TrialEnded) -> str:
    """Return the result of a trial and its settings: `val accuracy 0.9512   20 epochs  best      adam, lr 0.1`."""
    epochs = f"{event.epochs:>3} epoch{'' if event.epochs == 1 else 's'}"
    state = "best" if event.is_best else "" if event.state == "finished" else event.state
    return f"{describe_value(event)}  {epochs:<10}  {state:<8}  {event.settings}".rstrip()


def describe_value(event: TrialEnded) -> str:
    """Return the value of a trial: `val accuracy 0.9512`."""
    value = "–" if event.value is None else f"{event.value:.4f}"
    return f"{event.metric.replace('/', ' ')} {value}"
