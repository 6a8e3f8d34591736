"""Loss and speed of the epoch under way."""

from __future__ import annotations

import time

import torch
from torch import Tensor


class Running:
    """Loss and speed of the epoch under way; the sums stay on the device.

    Args:
        steps_before: Optimizer updates so far.
        examples: Learned from in this epoch before it was resumed.
    """

    def __init__(self, steps_before: int, examples: int = 0) -> None:
        self.step = steps_before
        self.examples = examples
        self._loss_sum: Tensor | float = 0.0
        self._weight: Tensor | float = 0.0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Begin to measure speed."""
        self._start = self._last_report = time.perf_counter()
        self._examples_before = self.examples

    def restore(self, loss_sum: Tensor, weight: Tensor) -> None:
        """Go on from sums over the examples before."""
        self._loss_sum, self._weight = loss_sum, weight

    def add(self, loss_sum: Tensor, weight: Tensor, examples: int, steps: int) -> None:
        """Take note of a span; see `Step.run`."""
        self._loss_sum = self._loss_sum + loss_sum
        self._weight = self._weight + weight
        self.examples += examples
        self.step += steps

    def sums(self) -> dict[str, Tensor]:
        """Return the sums over the epoch's examples so far, as TrainingState has them."""
        return {"loss": torch.as_tensor(self._loss_sum).cpu(), "weight": torch.as_tensor(self._weight).cpu()}

    def seconds_since_report(self) -> float:
        """Return how long ago the last look was."""
        return time.perf_counter() - self._last_report

    def look(self) -> tuple[float, float]:
        """Return the mean loss and the examples per second so far; waits for the device."""
        mean = float(self._loss_sum) / float(self._weight)
        self._last_report = time.perf_counter()
        return mean, (self.examples - self._examples_before) / (self._last_report - self._start)
