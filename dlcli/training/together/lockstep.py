"""Trainings of one kind that take their steps together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from dlcli.training.requests import Answer, Look
from dlcli.training.together.active_stack import ActiveStack
from dlcli.training.together.stepped import SteppedFit

T = TypeVar("T", bound=SteppedFit)


class Lockstep(Generic[T]):
    """Trainings of one kind, see `Placement`, at the same position.

    Args:
        trainings: The trainings, before their first step in this process.
    """

    def __init__(self, trainings: Sequence[T]) -> None:
        self._trainings = trainings
        self._stack: ActiveStack | None = None
        self._has_begun = False

    def answers(self) -> Sequence[tuple[T, Answer | None]]:
        """Compute what the trainings request; return each that has not ended with the answer to proceed with.

        The first answers are None. There are none if all trainings have ended.
        """
        active = [training for training in self._trainings if not training.has_ended]
        if not active:
            return []
        if not self._has_begun:
            self._has_begun = True
            return [(training, None) for training in active]
        with active[0].settings():
            return list(zip(active, self._compute(active), strict=True))

    def _compute(self, active: Sequence[T]) -> Sequence[Answer]:
        is_look = isinstance(active[0].request, Look)
        if self._stack is None or not (is_look or self._stack.serves(active)):  # some have ended: pack the others
            self._stack = ActiveStack(active)
        return self._stack.measure(active) if is_look else self._stack.run(active)
