"""Members of a group of trainings, their events and their states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.task import Task
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.state import Position, TrainingState


@dataclass(frozen=True)
class Member:
    """One training of a group; see the arguments of `Fit`.

    Attributes:
        model: Model to train.
        task: Loss and metrics.
        splits: Training and validation data.
        config: Config of the training.
        state: State of an interrupted training to resume; None starts from the first epoch.
        until: Epoch after which to pause, later than the epochs completed in `state`; None trains to the end.
        arithmetic: Arithmetic of the training, if there is no state; None selects it by rule.
    """

    model: nn.Sequential
    task: Task
    splits: Splits
    config: Config
    state: TrainingState | None = None
    until: int | None = None
    arithmetic: Arithmetic | None = None


@dataclass(frozen=True)
class Diverged:
    """End of a training whose loss or parameters are not finite.

    Attributes:
        message: Message of the DivergedError.
        hint: Hint of the DivergedError.
    """

    message: str
    hint: str


MemberEvent: TypeAlias = EpochEnded | FitEnded | Diverged
Events: TypeAlias = Sequence[tuple[int, MemberEvent]]


@dataclass(frozen=True)
class BestModel:
    """Parameters of a member after its best epoch, by their names in the state dict, and the training position then."""

    position: Position
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """State of a member.

    Attributes:
        number: Place of the member in the group, from 0.
        state: State to resume from; None after divergence.
        best: Best model, if it is new since the last snapshots of the group; None otherwise.
    """

    number: int
    state: TrainingState | None
    best: BestModel | None


class Group(Protocol):
    """Trainings of a group, in this process or in several; a context manager that starts and ends the processes."""

    def __enter__(self) -> Self:
        """Start the processes."""

    def __exit__(self, *_: object) -> None:
        """End the processes; unfinished trainings stop."""

    def __iter__(self) -> Iterator[Events]:
        """Train all members; several times per second, yield events, each with the place of its member.

        The events of one member are in order; events of different members can be in any order. The yielded sequence may
        be empty, so that the caller can handle signals.
        """

    def snapshots(self) -> tuple[Events, Sequence[Snapshot]]:
        """Return the events that have not been yielded, and the state after them of each member that has changed."""
