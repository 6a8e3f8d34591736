"""One training of a group, whose steps may be stacked with those of other trainings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

from dlcli.errors import DivergedError
from dlcli.training.events import EpochEnded, Event, FitEnded
from dlcli.training.requests import Answer
from dlcli.training.state import TrainingState
from dlcli.training.together.members import BestModel, Diverged, Member, MemberEvent, Snapshot
from dlcli.training.together.stepped import SteppedFit


class Training(SteppedFit):
    """One training of a group.

    Args:
        number: Place in the group.
        member: The member.

    Attributes:
        number: Place in the group.
        has_changed: Whether the state has changed since the last snapshot.
    """

    def __init__(self, number: int, member: Member) -> None:
        super().__init__(member, report_seconds=inf)
        self.number, self.has_changed = number, False
        self._best: BestModel | None = None
        self._is_diverged = False

    def advance(self, answer: Answer | None) -> Iterator[MemberEvent]:
        """Continue with the answer to the last request until the next request or the end; yield the events."""
        return self._handled(self.proceed(answer))

    def events(self) -> Iterator[MemberEvent]:
        """Train the model alone, with the threads and device of its Fit; yield the events."""
        return self._handled(self.fit)

    def _handled(self, events: Iterable[Event]) -> Iterator[MemberEvent]:
        self.has_changed = True
        try:
            for event in events:
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
