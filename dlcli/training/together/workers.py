"""Training of a group in several processes, which share the data of the process that forks them."""

from __future__ import annotations

import multiprocessing
import pickle  # noqa: TID251  # messages between our own processes, never files
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Self

import torch

from dlcli.errors import DeviceError
from dlcli.training.threads import machine_cores
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Events, Group, Member, Snapshot
from dlcli.training.together.plan import MOST_MODELS, place
from dlcli.training.together.worker import Message, dumps, work

_WAIT_SECONDS = 0.1  # longest time between two chances to handle a signal
_MEMORY_HINT = "if the memory was too small, train fewer models at once; `dlcli train --resume RUN` continues"


class WorkerGroup:
    """Training of a group in worker processes; see `Group`.

    Each worker trains one block of members after another, with one thread. A worker that is done gets the next block;
    the assignment affects no result. Members that a worker cannot train are trained by this process afterwards.

    Args:
        members: Members; they are read in the workers, so a sequence can build a member when it is read.
        processes: Number of workers.
    """

    def __init__(self, members: Sequence[Member], processes: int) -> None:
        self._members = members
        size = max(1, min(MOST_MODELS, -(-len(members) // processes)))
        self._blocks = [range(first, min(first + size, len(members))) for first in range(0, len(members), size)]
        self._processes = min(processes, len(self._blocks))
        self._workers: list[_Worker] = []
        self._ended: list[Snapshot] = []
        self._rest: list[int] = []
        self._local: LocalGroup | None = None

    def __enter__(self) -> Self:
        for _ in range(self._processes):
            self._workers.append(_Worker(self._members, [worker.connection for worker in self._workers]))
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def __iter__(self) -> Iterator[Events]:
        """See `Group.__iter__`."""
        for worker in self._workers:
            self._assign(worker)
        while busy := [worker for worker in self._workers if worker.is_busy]:
            ready = wait([worker.connection for worker in busy], timeout=_WAIT_SECONDS)
            events: list[Any] = []
            for worker in busy:
                if worker.connection in ready:
                    events += self._receive(worker)
            yield events
        self._local = LocalGroup(self._members, self._rest)
        yield from self._local

    def _assign(self, worker: _Worker) -> None:
        """Give a worker the next block, if there is one."""
        worker.is_busy = bool(self._blocks)
        if self._blocks:
            worker.send("train", *self._blocks.pop(0))

    def _receive(self, worker: _Worker) -> Events:
        """Read a message of a worker; return its events."""
        message = worker.receive()
        self._ended += message.snapshots
        self._rest += message.rest
        worker.answered = message.kind == "snapshots"
        if message.kind == "ended":
            self._assign(worker)
        return message.events

    def snapshots(self) -> tuple[Events, Sequence[Snapshot]]:
        """See `Group.snapshots`."""
        events: list[Any] = []
        asked = [worker for worker in self._workers if worker.is_busy]
        for worker in asked:
            worker.send("snapshots")
        for worker in asked:
            worker.answered = False
            while not worker.answered:
                events += self._receive(worker)
        if self._local is not None:
            more, snapshots = self._local.snapshots()
            events += more
            self._ended += snapshots
        ended, self._ended = self._ended, []
        return events, ended


class _Worker:
    """Worker process, as seen by the process that started it.

    Attributes:
        connection: Connection to the process.
        is_busy: Whether it trains a block.
        answered: Whether its last message answered a request for snapshots.
    """

    def __init__(self, members: Sequence[Member], inherited: Sequence[Connection]) -> None:
        self.connection, other = multiprocessing.Pipe()
        self.is_busy = self.answered = False
        self._process = ForkProcess(target=work, args=(members, other, [self.connection, *inherited]), daemon=True)
        with warnings.catch_warnings():
            # Python warns if a process with threads is forked. A worker uses none of them and has one thread itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        other.close()

    def send(self, *message: object) -> None:
        """Send a request: `train` with places of members, or `snapshots`."""
        with suppress(BrokenPipeError, ConnectionResetError):  # `receive` reports that the process has ended
            self.connection.send_bytes(dumps(message))

    def receive(self) -> Message:
        """Return the next message.

        Raises:
            DeviceError: If the process was killed.
            Exception: Error that ended the training of a block.
        """
        try:
            message = pickle.loads(self.connection.recv_bytes())  # noqa: S301
        except (EOFError, ConnectionResetError):
            self._process.join()
            reason = _describe_exit(self._process.exitcode or 0)
            raise DeviceError(f"a process of the training {reason}", hint=_MEMORY_HINT) from None
        if isinstance(message, BaseException):
            raise message
        assert isinstance(message, Message)
        return message

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self._process.kill()
        self._process.join()


def _describe_exit(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def open_group(members: Sequence[Member], *, is_together: bool = True) -> Group:
    """Return the training of a group.

    Args:
        members: Members; a sequence may build a member each time it is read.
        is_together: Whether to stack models and to use a process for each core; False trains one after the other, with
            the same results.
    """
    if not is_together:
        return LocalGroup(members, is_stacked=False)
    processes = _count_processes(members)
    return WorkerGroup(members, processes) if processes > 1 else LocalGroup(members)


def describe_plan(members: Sequence[Member], *, is_together: bool) -> str:
    """Return a description of how `open_group` trains members, such as `trained together in 2 processes`."""
    placement, processes = place(members[0]), _count_processes(members)
    if not is_together:
        return "trained one after the other: training.together is never"
    where = f" in {processes} processes" if processes > 1 else ""
    if placement.kind is None:
        return f"trained one after the other{where}: {placement.reason}"
    return f"trained together{where}"


def _count_processes(members: Sequence[Member]) -> int:
    return min(machine_cores(), len(members)) if _can_fork() and place(members[0]).fits_worker else 1


def _can_fork() -> bool:
    """Return whether worker processes can be forked.

    Only Linux supports this: macOS's libraries do not allow forks, and Windows has none. With an accelerator, autograd
    refuses to work in a fork. A daemonic process, such as a worker of multiprocessing.Pool, must not start processes.
    """
    is_daemon = multiprocessing.current_process().daemon
    return sys.platform == "linux" and not is_daemon and not torch.accelerator.is_available()
