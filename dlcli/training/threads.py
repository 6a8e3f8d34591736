"""How many threads take a model's steps: as many as help, just now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiplications in a step's largest product below which a second thread costs more than it does: on 2 cores, two
# threads take 0.96 times as long at 2**18, 0.81 times at 2**19.
OPERATIONS_PER_THREAD = 2**18
_WINDOW_SECONDS, _WINDOW_SPANS = 0.03, 5  # what a count of threads is measured over, at least
_HOPELESS, _HOPELESS_SECONDS = 1.2, 0.005  # a trial that takes so many times as long for so long ends there
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.3, 2.0  # between two trials
_WEIGHT_OF_LAST = 0.2  # of the last window, in the moving mean of the chosen count
_GAIN = 0.9  # another count must take less than this share of the time, or nothing changes


def thread_counts() -> list[int]:
    """Return the counts worth trying: powers of two, and all that torch may use here."""
    most: int = torch.get_num_threads()
    return [2**i for i in range(most.bit_length()) if 2**i < most] + [most]


class Threads:
    """Chooses a count of threads by the size of the work, and keeps trying its neighbours while the work goes on.

    Other load on the machine makes several threads wait for each other: a second process turns twice the speed
    into a third. So this is for work whose results don't depend on the count.

    Args:
        operations: Multiplications in the largest product of a step.
        may_change: Whether to try other counts than the first.
    """

    def __init__(self, operations: int, *, may_change: bool) -> None:
        self._counts = thread_counts()
        useful = [i for i, count in enumerate(self._counts) if count <= operations / OPERATIONS_PER_THREAD]
        self._chosen = self._trial = max(useful, default=0)
        self._may_change = may_change and len(self._counts) > 1
        self._upward = False
        self._pause = _FIRST_PAUSE_SECONDS
        self._trial_due = time.perf_counter() + self._pause
        self._seconds: dict[int, float] = {}  # per step, by index of the count, when last measured
        self._window_seconds, self._window_steps, self._window_spans = 0.0, 0, 0

    @property
    def count(self) -> int:
        """The count that the next steps are taken with."""
        return self._counts[self._trial]

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Have torch use the chosen count."""
        most = self._counts[-1]
        if self.count == most:
            yield
            return
        torch.set_num_threads(self.count)
        try:
            yield
        finally:
            torch.set_num_threads(most)

    @contextmanager
    def lent_for(self, steps: int) -> Iterator[None]:
        """Have torch use the chosen count for so many steps, and learn how long they took."""
        start = time.perf_counter()
        with self.lent():
            yield
        if self._may_change:
            self._learn(time.perf_counter() - start, steps)

    def _learn(self, seconds: float, steps: int) -> None:
        self._window_seconds += seconds
        self._window_steps += steps
        self._window_spans += 1
        # The mean, not the fastest: beside other load, threads that wait for each other are fast now and then.
        mean = self._window_seconds / self._window_steps
        is_short = self._window_seconds < _WINDOW_SECONDS or self._window_spans < _WINDOW_SPANS
        if is_short and not self._is_hopeless(mean):
            return
        if self._trial == self._chosen:  # a moment's disturbance is no reason to change
            before = self._seconds.get(self._chosen, mean)
            mean = before + _WEIGHT_OF_LAST * (mean - before)
        self._seconds[self._trial] = mean
        self._window_seconds, self._window_steps, self._window_spans = 0.0, 0, 0
        best = min(self._seconds, key=lambda index: self._seconds[index])
        if self._seconds[best] < _GAIN * self._seconds[self._chosen]:
            self._chosen, self._pause = best, _FIRST_PAUSE_SECONDS
        elif self._trial != self._chosen:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._trial = self._chosen
        if time.perf_counter() >= self._trial_due:
            self._trial = self._neighbour()
            self._trial_due = time.perf_counter() + self._pause

    def _is_hopeless(self, mean: float) -> bool:
        """Return whether a trial is already known to fail, so that it costs no more than it must."""
        is_trial = self._trial != self._chosen and self._window_seconds >= _HOPELESS_SECONDS
        return is_trial and mean > _HOPELESS * self._seconds[self._chosen]

    def _neighbour(self) -> int:
        """Return the next higher index and the next lower one in turns, as far as there are such."""
        self._upward = not self._upward
        step = 1 if self._upward else -1
        return self._chosen + (step if 0 <= self._chosen + step < len(self._counts) else -step)
