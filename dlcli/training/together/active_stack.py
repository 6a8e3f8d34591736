"""Trainings of a group whose steps and measurements are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fast.stack import Stack
from dlcli.training.fast.step import ManualStep
from dlcli.training.requests import Answer, Chunk, Look
from dlcli.training.together.looks import StackedLooks
from dlcli.training.together.plan import shared_optimizer
from dlcli.training.together.stepped import SteppedFit

A = TypeVar("A")


class ActiveStack:
    """Stacked steps and measurements of trainings of one kind, which all make the same requests at the same time.

    Attributes:
        trainings: The trainings.
    """

    def __init__(self, trainings: Sequence[SteppedFit]) -> None:
        self.trainings = list(trainings)
        self._members = [training.member for training in trainings]
        self._optimizer = shared_optimizer(self._members)
        steps = [training.fit.step for training in trainings]
        taken = trainings[0].fit.position.step
        kind = BatchedStack if trainings[0].is_batched else Stack
        self._stack = kind([step for step in steps if isinstance(step, ManualStep)], self._optimizer, taken)
        self._looks: StackedLooks | None = None

    def serves(self, active: Sequence[SteppedFit]) -> bool:
        """Return whether the stack suits the trainings that have not ended.

        A stack with batched products also keeps trainings that have ended, as long as they are fewer than half, because
        building a new stack takes long.
        """
        if isinstance(self._stack, BatchedStack):
            return 2 * len(active) > len(self.trainings)
        return self.trainings == active

    def run(self, active: Sequence[SteppedFit]) -> Sequence[Answer]:
        """Take the steps of the next chunk of each training that has not ended; return the answers."""
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

    def measure(self, active: Sequence[SteppedFit]) -> Sequence[Answer]:
        """Return the answer to the `Look` of each training that has not ended."""
        look = active[0].request
        assert isinstance(look, Look), "all trainings end their epochs together"
        if not self.serves(active):  # some trainings have just diverged
            return [training.fit.measure(look) for training in active]
        if self._looks is None:
            fits = [training.fit for training in self.trainings]
            self._looks = StackedLooks(self._members, fits, self._stack)
        return self._of_active(self._looks.measure(look))
