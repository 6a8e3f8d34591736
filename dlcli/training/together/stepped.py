"""One training whose steps are computed by its user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from dlcli.training.events import Event
from dlcli.training.fit import Fit
from dlcli.training.isolation import isolated
from dlcli.training.requests import Answer, Chunk, Look
from dlcli.training.together.members import Member
from dlcli.training.together.plan import Kind, place
from dlcli.training.world import World


class SteppedFit:
    """Training whose user computes its steps and measurements, and may do so for several trainings at once.

    Args:
        member: What to train.
        report_seconds: See `Fit`.

    Attributes:
        member: What is trained.
        kind: See `Placement`.
        is_batched: See `Placement`.
        fit: The training; iteration over it computes the steps of this training alone.
        request: Steps to take, or measurements, next.
        has_ended: Whether training has ended, paused or diverged.
    """

    def __init__(self, member: Member, report_seconds: float | None = None) -> None:
        self.member = member
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
            arithmetic=member.arithmetic,
            report_seconds=report_seconds,
            generator=generator,
            world=World(shards=member.config.training.shards),
        )
        self.request: Chunk | Look = Chunk(None, 0, range(0))
        self.has_ended = False
        self._steps = self.fit.train()

    def settings(self) -> AbstractContextManager[None]:
        """Return the torch settings of stacked steps."""
        device, precision = next(self.member.model.parameters()).device, self.member.config.training.precision
        return isolated(threads=1, device=device, tf32=precision == "tf32")

    def proceed(self, answer: Answer | None) -> Iterator[Event]:
        """Continue with the answer to the last request until the next one, or the end; yield the events.

        The first answer is None. At an event, `fit` is in the state after it.

        Raises:
            DivergedError: If the loss is not finite; the model is useless then.
        """
        item = next(self._steps, None) if answer is None else self._steps.send(answer)
        while item is not None and not isinstance(item, (Chunk, Look)):
            yield item
            item = next(self._steps, None)
        if item is None:
            self.has_ended = True
        else:
            self.request = item
