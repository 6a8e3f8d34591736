"""Running loss and speed of the current epoch."""

from __future__ import annotations

import time

import torch
from torch import Tensor


class Running:
    """Running loss and speed of the current epoch; the sums stay on the device.

    Args:
        steps_before: Number of optimizer updates before this epoch.
        examples: Number of examples of this epoch that were processed before the run was resumed.
    """

    def __init__(self, steps_before: int, examples: int = 0) -> None:
        self.step = steps_before
        self.examples = examples
        self._loss_sum: Tensor | float = 0.0
        self._weight: Tensor | float = 0.0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Start the measurement of speed."""
        self._start = self._last_report = time.perf_counter()
        self._examples_before = self.examples

    def restore(self, loss_sum: Tensor, weight: Tensor) -> None:
        """Set the sums over the examples processed before."""
        self._loss_sum, self._weight = loss_sum, weight

    def add(self, loss_sum: Tensor, weight: Tensor, examples: int, steps: int) -> None:
        """Add the results of a chunk; see `Step.run`."""
        self._loss_sum = self._loss_sum + loss_sum
        self._weight = self._weight + weight
        self.examples += examples
        self.step += steps

    def sums(self) -> dict[str, Tensor]:
        """Return the sums over the examples of the epoch so far, for `TrainingState`."""
        return {"loss": torch.as_tensor(self._loss_sum).cpu(), "weight": torch.as_tensor(self._weight).cpu()}

    def seconds_since_report(self) -> float:
        """Return the seconds since the last call of `look`."""
        return time.perf_counter() - self._last_report

    def look(self) -> tuple[float, float]:
        """Return the mean loss and the examples per second so far; synchronises with the device."""
        mean = float(self._loss_sum) / float(self._weight)
        self._last_report = time.perf_counter()
        return mean, (self.examples - self._examples_before) / (self._last_report - self._start)
