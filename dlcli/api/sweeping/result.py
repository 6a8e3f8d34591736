"""Result of training a trial, and the decision to stop it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

State: TypeAlias = Literal["finished", "diverged", "stopped"]


class EpochHook(Protocol):
    """Decision of a sweep about a trial, after some of its epochs."""

    def is_due(self, epoch: int) -> bool:
        """Return whether to ask after an epoch."""

    def stops(self, epoch: int, best: float) -> bool:
        """Return whether to stop the trial, for its best value until the epoch."""


@dataclass(frozen=True)
class TrialResult:
    """Result of training a trial, to its end or until its hook stopped it.

    Attributes:
        state: Whether it ended, diverged, or was stopped and can be continued.
        value: Metric of its best epoch so far; None before the first.
        best_epoch: Best epoch so far; None before the first.
        epochs: Number of its epochs so far.
    """

    state: State
    value: float | None
    best_epoch: int | None
    epochs: int
