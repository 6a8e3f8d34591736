"""Group of trainings in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError
from dlcli.task import Task
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.fit import Fit
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
    """

    model: nn.Sequential
    task: Task
    splits: Splits
    config: Config
    state: TrainingState | None = None


@dataclass(frozen=True)
class Diverged:
    """End of a training whose loss is not finite.

    Attributes:
        message: What diverged, and where.
        hint: What to change.
    """

    message: str
    hint: str


MemberEvent: TypeAlias = EpochEnded | FitEnded | Diverged


@dataclass(frozen=True)
class BestModel:
    """Parameters of a member after its best epoch, by their names in the state dict, and their position."""

    position: Position
    parameters: Mapping[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """State of a member after the events so far.

    Attributes:
        number: Place of the member in the group, from 0.
        state: State to resume from; None after divergence.
        best: Best model, if it is new since the last snapshot of the group; None otherwise.
    """

    number: int
    state: TrainingState | None
    best: BestModel | None


class Group(Protocol):
    """Trainings of a group, in this process or in several; a context, which ends the processes."""

    def __enter__(self) -> Group:
        """Start the trainings."""

    def __exit__(self, *_: object) -> None:
        """End them; unfinished trainings stop."""

    def __iter__(self) -> Iterator[tuple[int, MemberEvent]]:
        """Yield the events of the members with the place of the member.

        The events of a member come in order; those of different members in any order.
        """

    def snapshots(self) -> Sequence[Snapshot]:
        """Return the state of each member that has changed since the last call.

        The states match the events that the iteration has yielded so far.
        """


class LocalGroup:
    """Trainings of a group in this process."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._fits = [
            Fit(member.model, member.task, member.splits, member.config, member.state, report_seconds=float("inf"))
            for member in members
        ]
        self._diverged: set[int] = set()
        self._changed: set[int] = set()
        self._best: dict[int, BestModel] = {}

    def __enter__(self) -> LocalGroup:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[tuple[int, MemberEvent]]:
        """See `Group.__iter__`."""
        active = {number: iter(fit) for number, fit in enumerate(self._fits)}
        while active:
            for number, events in list(active.items()):
                event: MemberEvent
                self._changed.add(number)
                try:
                    event = next(events)  # type: ignore[assignment]  # without events of steps
                    if isinstance(event, EpochEnded) and event.is_best:
                        fit = self._fits[number]
                        self._best[number] = BestModel(fit.position, fit.parameters())
                except DivergedError as error:
                    event = Diverged(error.message, error.hint or "")
                    self._diverged.add(number)
                if not isinstance(event, EpochEnded):
                    del active[number]
                yield number, event

    def snapshots(self) -> Sequence[Snapshot]:
        """See `Group.snapshots`."""
        changed, self._changed = sorted(self._changed), set()
        return [
            Snapshot(
                number, None if number in self._diverged else self._fits[number].state(), self._best.pop(number, None)
            )
            for number in changed
        ]


def open_group(members: Sequence[Member]) -> Group:
    """Return the trainings of a group, ready to be entered."""
    return LocalGroup(members)
