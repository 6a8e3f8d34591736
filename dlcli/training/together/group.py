"""Training of a group in this process, stack after stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from dlcli.training.isolation import isolated
from dlcli.training.requests import Answer, Look
from dlcli.training.together.lockstep import Lockstep
from dlcli.training.together.members import Events, Member, MemberEvent, Snapshot
from dlcli.training.together.plan import stack_size
from dlcli.training.together.training import Training


class LocalGroup:
    """Training of a group in this process; see `Group`.

    Args:
        members: Members; each is read when its stack starts, so a sequence can build members on demand.
        numbers: Places of the members to train, in the order of training; None trains all.
        is_stacked: Whether to stack models; otherwise they are trained one after the other.
    """

    def __init__(
        self, members: Sequence[Member], numbers: Sequence[int] | None = None, *, is_stacked: bool = True
    ) -> None:
        self._members, self._is_stacked = members, is_stacked
        self._numbers = range(len(members)) if numbers is None else numbers
        self._active: list[Training] = []
        self._ended: list[Snapshot] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there are no processes."""

    def __iter__(self) -> Iterator[Events]:
        """See `Group.__iter__`."""
        waiting = list(self._numbers)
        while waiting:
            first = self._members[waiting[0]]
            numbers = waiting[: stack_size(first) if self._is_stacked else 1]
            del waiting[: len(numbers)]
            trainings = [
                Training(number, first if number == numbers[0] else self._members[number]) for number in numbers
            ]
            for kind in dict.fromkeys(training.kind for training in trainings):
                alike = [training for training in trainings if training.kind == kind]
                if kind is not None and self._is_stacked:
                    yield from self._train_stack(alike)
                else:
                    yield from self._train_each(alike)

    def _train_stack(self, trainings: list[Training]) -> Iterator[Events]:
        """Train models of one kind with stacked steps."""
        self._active, lockstep = trainings, Lockstep(trainings)
        while self._active:
            events = self._advance(lockstep.answers())
            if self._active and isinstance(self._active[0].request, Look):
                events = [*events, *self._advance(lockstep.answers())]
            yield events

    def _advance(self, answers: Sequence[tuple[Training, Answer | None]]) -> Events:
        """Continue trainings with the answers to their requests; return the events."""
        with isolated(threads=1):
            events = [(training.number, event) for training, answer in answers for event in training.advance(answer)]
        self._remove_ended()
        return events

    def _train_each(self, trainings: Sequence[Training]) -> Iterator[Events]:
        """Train models one after the other."""
        for training in trainings:
            self._active = [training]
            for event in training.events():
                self._remove_ended()
                yield [(training.number, event)]

    def _remove_ended(self) -> None:
        self._ended += [training.snapshot() for training in self._active if training.has_ended]
        self._active = [training for training in self._active if not training.has_ended]

    def snapshots(self) -> tuple[Events, Sequence[Snapshot]]:
        """See `Group.snapshots`."""
        events: list[tuple[int, MemberEvent]] = []
        for training in self._active:
            events += [(training.number, event) for event in training.check()]
        self._remove_ended()
        ended, self._ended = self._ended, []
        return events, [*ended, *(training.snapshot() for training in self._active if training.has_changed)]
