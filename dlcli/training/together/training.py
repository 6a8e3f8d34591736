"""One training of a group, whose steps may be stacked with those of other trainings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from math import inf

import torch

from dlcli.errors import DivergedError
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.fit import Fit
from dlcli.training.isolation import isolated
from dlcli.training.requests import Answer, Chunk, Look
from dlcli.training.state import TrainingState
from dlcli.training.together.members import BestModel, Diverged, Member, MemberEvent, Snapshot
from dlcli.training.together.plan import Kind, place
from dlcli.training.world import World


class Training:
    """One training of a group.

    Attributes:
        number: Place in the group.
        member: The member.
        kind: See `Placement`.
        is_batched: See `Placement`.
        fit: Training loop of the member.
        request: Next request: steps to take, or measurements.
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
        """Continue with the answer to the last request until the next request or the end; yield the events."""
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
        """Train the model alone, with the threads and device of its Fit; yield the events."""
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
            self.fit.state()  # raises an error if a parameter is not finite
            self.has_ended = True
        divergence = None
        if isinstance(event, EpochEnded) and event.is_best:
            try:  # before the event is yielded, because the caller may then take a snapshot
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
        """Copy the parameters into the model; return the event of divergence if a parameter is not finite."""
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
        # The given state is still current if no step has been taken since.
        return given if given and given.position == self.fit.position else self.fit.state()
