"""Requests of a training to the loop that runs it, and the answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from dlcli.training.events import Event, Trace

Sums: TypeAlias = tuple[Tensor, Tensor]
Answer: TypeAlias = "Sums | Measured"
Training: TypeAlias = "Generator[Event | Chunk | Look, Answer | None, None]"


@dataclass(frozen=True)
class Chunk:
    """Request to take steps on batches; see `Step.run`.

    Attributes:
        index: Positions of the examples; None for the whole split as one batch.
        examples: Number of examples.
        steps: Numbers of the steps, counted from 1 over the whole run.
    """

    index: Tensor | None
    examples: int
    steps: range


@dataclass(frozen=True)
class Look:
    """Request to measure the model at the end of an epoch.

    Attributes:
        is_traced: Whether to measure inside the model as well.
    """

    is_traced: bool


@dataclass(frozen=True)
class Measured:
    """Answer to a `Look`.

    Attributes:
        sums: Sums over the validation split, see `evaluate_split`; None without a validation split.
        trace: Measurements inside the model, if requested.
    """

    sums: dict[str, Tensor] | None
    trace: Trace | None
