"""Training of a group in this process, stack after stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from math import inf
from typing import Self, TypeVar

import torch

from dlcli.errors import DivergedError
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fast.stack import Stack
from dlcli.training.fast.step import ManualStep
from dlcli.training.fit import Fit
from dlcli.training.isolation import isolated
from dlcli.training.requests import Answer, Chunk, Look
from dlcli.training.state import TrainingState
from dlcli.training.together.looks import StackedLooks
from dlcli.training.together.members import BestModel, Diverged, Events, Member, MemberEvent, Snapshot
from dlcli.training.together.plan import Kind, place, shared_optimizer, stack_size
from dlcli.training.world import World

A = TypeVar("A")


class LocalGroup:
    """Training of a group in this process; see `Group`.

    Args:
        members: Members; each is read when its stack starts, so a sequence can build it then.
        numbers: Places of the members to train, in the order of training; None trains all.
        is_stacked: Whether to stack models; otherwise they are trained one after the other.
    """

    def __init__(
        self, members: Sequence[Member], numbers: Sequence[int] | None = None, *, is_stacked: bool = True
    ) -> None:
        self._members, self._is_stacked = members, is_stacked
        self._numbers = range(len(members)) if numbers is None else numbers
        self._active: list[_Training] = []
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
                _Training(number, first if number == numbers[0] else self._members[number]) for number in numbers
            ]
            for kind in dict.fromkeys(training.kind for training in trainings):
                alike = [training for training in trainings if training.kind == kind]
                if kind is not None and self._is_stacked:
                    yield from self._train_stack(alike)
                else:
                    yield from self._train_each(alike)

    def _train_stack(self, trainings: list[_Training]) -> Iterator[Events]:
        """Train models of one kind with stacked steps."""
        self._active, stack = trainings, None
        events = self._advance([None] * len(trainings))
        while self._active:
            yield events
            with self._active[0].settings():
                if stack is None or not stack.serves(self._active):  # some have ended: pack the others
                    stack = _ActiveStack(self._active)
                events = self._advance(stack.run(self._active))
                if self._active and isinstance(self._active[0].request, Look):
                    events = [*events, *self._advance(stack.measure(self._active))]
        yield events

    def _advance(self, answers: Sequence[Answer | None]) -> Events:
        """Continue each active training with the answer to its request; return the events."""
        with isolated(threads=1):
            pairs = zip(self._active, answers, strict=True)
            events = [(training.number, event) for training, answer in pairs for event in training.advance(answer)]
        self._remove_ended()
        return events

    def _train_each(self, trainings: Sequence[_Training]) -> Iterator[Events]:
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


class _Training:
    """One training of a group.

    Attributes:
        number: Place in the group.
        member: The member.
        kind: See `Placement`.
        is_batched: See `Placement`.
        fit: Its training.
        request: Steps to take, or measurements, next.
        has_ended: Whether training has ended, paused or diverged.
        has_changed: Whether the state has changed since the last snapshot.
    """

    def __init__(self, number: int, member: Member) -> None:
        self.number, self.member = number, member
        placement = place(member)
        self.kind: Kind | None = placement.kind
        self.is_batched = placement.is_batched
        generator = torch.Generator() if self.kind is not None and not self.is_batched else None
        self.fit = Fit(
            member.model,
            member.task,
            member.splits,
            member.config,
            member.state,
            report_seconds=inf,
            generator=generator,
            world=World(shards=member.config.training.shards),
        )
        self.request: Chunk | Look = Chunk(None, 0, range(0))
        self.has_ended = self.has_changed = False
        self._steps = self.fit.train()
        self._best: BestModel | None = None
        self._is_diverged = False

    def settings(self) -> AbstractContextManager[None]:
        """Return the torch settings of stacked steps."""
        device, precision = next(self.member.model.parameters()).device, self.member.config.training.precision
        return isolated(threads=1, device=device, tf32=precision == "tf32")

    def advance(self, answer: Answer | None) -> Iterator[MemberEvent]:
        """Continue with the answer to the last request until the next one, or the end; yield the events."""
        self.has_changed = True
        try:
            item = next(self._steps) if answer is None else self._steps.send(answer)
            while not isinstance(item, (Chunk, Look)):
                assert isinstance(item, (EpochEnded, FitEnded)), "there are no events of steps"
                yield from self._handle(item)
                if self.has_ended:
                    return
                item = next(self._steps)
            self.request = item
        except DivergedError as error:
            yield self._diverge(error)

    def events(self) -> Iterator[MemberEvent]:
        """Train alone, with all threads and devices that this takes; yield the events."""
        try:
            for event in self.fit:
                self.has_changed = True
                assert isinstance(event, (EpochEnded, FitEnded)), "there are no events of steps"
                yield from self._handle(event)
                if self.has_ended:
                    return
        except DivergedError as error:
            yield self._diverge(error)

    def _handle(self, event: EpochEnded | FitEnded) -> Iterator[MemberEvent]:
        if isinstance(event, FitEnded) or event.epoch == self.member.until:
            self.fit.state()  # raises an error if the model is useless
            self.has_ended = True
        divergence = None
        if isinstance(event, EpochEnded) and event.is_best:
            try:  # before the event, after which a snapshot may be taken
                self._best = BestModel(self.fit.position, self.fit.parameters())
            except DivergedError as error:
                divergence = error
        yield event
        if divergence is not None:
            raise divergence

    def _diverge(self, error: DivergedError) -> Diverged:
        self.has_ended = self._is_diverged = True
        return Diverged(error.message, error.hint or "")

    def check(self) -> list[MemberEvent]:
        """Copy the parameters into the model; return the event of divergence if one is not finite."""
        self.fit.step.update_model()
        try:
            self.fit.parameters()
        except DivergedError as error:
            return [self._diverge(error)]
        return []

    def snapshot(self) -> Snapshot:
        """Return the current state."""
        best, self._best, self.has_changed = self._best, None, False
        return Snapshot(self.number, None if self._is_diverged else self._state(), best)

    def _state(self) -> TrainingState:
        given = self.member.state
        return given if given and given.position == self.fit.position else self.fit.state()  # it was complete


class _ActiveStack:
    """Stacked steps and measurements of trainings of one kind, which make the same requests.

    Attributes:
        trainings: The trainings.
    """

    def __init__(self, trainings: Sequence[_Training]) -> None:
        self.trainings = list(trainings)
        self._members = [training.member for training in trainings]
        self._optimizer = shared_optimizer(self._members)
        steps = [training.fit.step for training in trainings]
        taken = trainings[0].fit.position.step
        kind = BatchedStack if trainings[0].is_batched else Stack
        self._stack = kind([step for step in steps if isinstance(step, ManualStep)], self._optimizer, taken)
        self._looks: StackedLooks | None = None

    def serves(self, active: Sequence[_Training]) -> bool:
        """Return whether the stack suits the trainings that have not ended.

        A stack with batched products keeps those that have ended, up to half of all, because a new one takes long.
        """
        if isinstance(self._stack, BatchedStack):
            return 2 * len(active) > len(self.trainings)
        return self.trainings == active

    def run(self, active: Sequence[_Training]) -> Sequence[Answer]:
        """Take the steps of the next chunk of each training that has not ended; return its answer."""
        chosen = [active[0] if training.has_ended else training for training in self.trainings]
        chunks = [(training.fit, training.request) for training in chosen]
        pairs = [(fit, chunk) for fit, chunk in chunks if isinstance(chunk, Chunk)]
        if self._optimizer is not None:
            fit, chunk = pairs[0]
            rates = [fit.lrs(chunk.steps)] * len(pairs)
        else:
            rates = [fit.lrs(chunk.steps) for fit, chunk in pairs]
        return self._of_active(self._stack.run([chunk.index for _, chunk in pairs], rates))

    def _of_active(self, answers: Sequence[A]) -> list[A]:
        """Return the answers to trainings that have not ended."""
        pairs = zip(self.trainings, answers, strict=True)
        return [answer for training, answer in pairs if not training.has_ended]

    def measure(self, active: Sequence[_Training]) -> Sequence[Answer]:
        """Return the answer to the `Look` of each training that has not ended."""
        look = active[0].request
        assert isinstance(look, Look), "all trainings end their epochs together"
        if not self.serves(active):  # some have just diverged
            return [training.fit.measure(look) for training in active]
        if self._looks is None:
            fits = [training.fit for training in self.trainings]
            self._looks = StackedLooks(self._members, fits, self._stack)
        return self._of_active(self._looks.measure(look))
