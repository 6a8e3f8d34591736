"""Turns of concurrent trainings: trainings with several threads each use the cores one after the other.

The threads of a matrix product wait for each other. If two trainings share the cores, the scheduler suspends single
threads, the other threads wait for them, and both trainings take much longer than one after the other. Scheduling all
threads of a program together avoids this (gang scheduling, Ousterhout 1982). A turn decides when a step runs, never its
result.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EADDRINUSE
from hashlib import sha256

import torch

from dlcli.training.threads import machine_cores

TURN_SECONDS = 0.05
LONGEST_WAIT = 5.0  # seconds; a training that keeps its turn for longer is suspended, or its steps are very long
_PAUSE = 300.0  # seconds without turns after a wait of `LONGEST_WAIT`
_POLL_SECONDS = 0.0005


class Turns:
    """Turns of one training among the trainings of the same user on the same cores of a machine.

    As many trainings have a turn at the same time as there are cores for their threads. A turn is the name of an
    abstract Unix socket, which the kernel frees when the process ends, and which leaves no file behind. A second name
    is held while waiting, so that no training takes two turns in a row while another one waits. Turns are used only on
    Linux, on a CPU and with several threads.

    Args:
        threads: Number of threads of this training.
        device: Device that the training computes on.
    """

    def __init__(self, threads: int, device: torch.device) -> None:
        self._names: list[str] = []
        if threads > 1 and device.type == "cpu" and sys.platform == "linux":
            trainings = max(1, min(machine_cores(), len(os.sched_getaffinity(0))) // threads)
            self._names = [f"{_name_of_cores()}-{number}" for number in range(trainings)]
            self._queue = f"{_name_of_cores()}-next"
        self._turn: socket.socket | None = None
        self._end = self._paused_until = 0.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, then run the block in it."""
        self._take()
        try:
            yield
        finally:
            self._release()

    def pass_on(self) -> None:
        """After `TURN_SECONDS`, end the turn and wait for the next one; trainings that wait come first."""
        if time.monotonic() >= self._end:
            self._release()
            self._take()

    def _take(self) -> None:
        if self._names and time.monotonic() >= self._paused_until:
            if queued := _bind_one([self._queue]):
                self._turn = _bind_one(self._names)
                queued.close()
            if not self._turn:
                self._paused_until = time.monotonic() + _PAUSE
        self._end = time.monotonic() + TURN_SECONDS

    def _release(self) -> None:
        if self._turn:
            self._turn.close()
            self._turn = None


def _name_of_cores() -> str:
    """Return the first part of the names for this user and the cores that this process may use."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"\0dlcli-{os.getuid()}-{sha256(cores.encode()).hexdigest()[:16]}"


def _bind_one(names: Sequence[str]) -> socket.socket | None:
    """Return a socket bound to one of the names; None after `LONGEST_WAIT`, or if the system forbids sockets."""
    deadline = time.monotonic() + LONGEST_WAIT
    while True:
        for name in names:
            try:
                holder = socket.socket(socket.AF_UNIX)
            except OSError:
                return None
            try:
                holder.bind(name)
            except OSError as error:
                holder.close()
                if error.errno != EADDRINUSE:
                    return None
            else:
                return holder
        if time.monotonic() >= deadline:
            return None
        time.sleep(_POLL_SECONDS)
