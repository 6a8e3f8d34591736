from __future__ import annotations

import time

import pytest
import torch

from dlcli.training.threads import OPERATIONS_PER_THREAD, Threads


class Machine:
    """A clock that runs as fast as work is done, by the number of threads that torch is told to use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
        self.now, self.count = 0.0, threads
        self.used: list[int] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(self, "count", count))

    def work(self, threads: Threads, seconds_per_step: dict[int, float], until: float) -> None:
        while self.now < until:
            with threads.lent_for(steps=1):
                self.used.append(self.count)
                self.now += seconds_per_step[self.count]

    def share(self, count: int) -> float:
        return self.used.count(count) / len(self.used)


def test_small_work_gets_one_thread_and_large_work_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, threads=6)
    counts = [Threads(factor * OPERATIONS_PER_THREAD, may_change=True).count for factor in (0, 1, 2, 5, 6, 100)]
    assert counts == [1, 1, 2, 4, 6, 6]


def test_beside_other_load_one_thread_is_taken_and_given_up_when_the_load_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, threads=2)
    threads = Threads(10**9, may_change=True)
    machine.work(threads, {1: 0.0008, 2: 0.0005}, until=10)
    assert machine.share(2) > 0.997, "a trial of what is clearly slower is short"
    machine.used.clear()
    machine.work(threads, {1: 0.0008, 2: 0.0025}, until=20)
    assert machine.share(1) > 0.97
    machine.used.clear()
    machine.work(threads, {1: 0.0008, 2: 0.0005}, until=30)
    assert machine.share(2) > 0.75
    assert machine.count == 2, "everything else has all threads"


def test_a_moments_disturbance_changes_little(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, threads=2)
    threads = Threads(10**9, may_change=True)
    for second in range(1, 20):
        machine.work(threads, {1: 0.0008, 2: 0.0005}, until=second - 0.04)
        machine.work(threads, {1: 0.0012, 2: 0.0015}, until=second)
    assert machine.share(2) > 0.95


def test_nothing_is_tried_where_bits_might_change(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, threads=2)
    machine.work(Threads(10**9, may_change=False), {1: 0.0008, 2: 0.0025}, until=10)
    assert machine.share(2) == 1


def test_a_failing_step_gives_the_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, threads=4)
    threads = Threads(0, may_change=False)
    with pytest.raises(ZeroDivisionError), threads.lent_for(steps=1):
        _ = 1 / (machine.count - 1)
    assert machine.count == 4
