"""Messages between the processes that train one model together, and the checks of their number."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from dlcli.config.schema import Config, TrainingSection
from dlcli.errors import DlcliError, RemoteError, UsageError, full_record
from dlcli.ranks import Rank, read_rank
from dlcli.text import join
from dlcli.training.connection import connect, wait_in_thread
from dlcli.training.world import World, losses_explained

T = TypeVar("T")

# Reading of data, evaluation and plots; one process may take much longer than another.
LOADING_SECONDS = 1800.0
_POLL_SECONDS = 0.001


class Ranks:
    """Connected processes, and messages between them outside of steps; all processes must make the same calls.

    Args:
        place: Place of this process.

    Attributes:
        place: Place of this process.
        backend: Backend of the collective operations in steps.
    """

    def __init__(self, place: Rank) -> None:
        self.place = place
        self.backend = "nccl" if torch.cuda.is_available() else "gloo"

    def connect(self, note: Callable[[str], None]) -> None:
        """Connect to all processes; send `note` one line if this takes several seconds.

        Raises:
            UsageError: If the environment does not describe them.
            LostProcess: If they cannot be reached.
        """
        backend = "cpu:gloo,cuda:nccl" if self.backend == "nccl" else "gloo"  # messages are on the CPU
        with losses_explained(LOADING_SECONDS):
            connect(backend, self.place, LOADING_SECONDS, note)

    def exchange(self, message: bytes) -> list[bytes]:
        """Return the messages of all processes, by rank.

        Raises:
            LostProcess: If a process has ended.
        """
        with losses_explained(LOADING_SECONDS):
            sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.place.size)]
            _finish(distributed.all_gather(sizes, torch.tensor([len(message)]), async_op=True))
            longest = max(int(size) for size in sizes)
            contents = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
            mine = torch.frombuffer(bytearray(message.ljust(longest)), dtype=torch.uint8)
            _finish(distributed.all_gather(contents, mine, async_op=True))
        return [content.numpy()[: int(size)].tobytes() for content, size in zip(contents, sizes, strict=True)]

    def broadcast(self, message: bytes) -> bytes:
        """Return the message of the first process; those of the others are ignored.

        Raises:
            LostProcess: If a process has ended.
        """
        with losses_explained(LOADING_SECONDS):
            size = torch.tensor([len(message)])
            _finish(distributed.broadcast(size, 0, async_op=True))
            mine = bytearray(message if self.place.is_first else int(size))
            content = torch.frombuffer(mine, dtype=torch.uint8)
            _finish(distributed.broadcast(content, 0, async_op=True))
        return content.numpy().tobytes()

    def tell(self, produce: Callable[[], bytes], *, common: tuple[type[DlcliError], ...] = (DlcliError,)) -> bytes:
        """Return what `produce` returns in the first process, which alone calls it.

        Args:
            produce: Function of the first process.
            common: Errors of `produce` that end all processes. After others, this process must end.

        Raises:
            RemoteError: If such an error has ended the first process.
            LostProcess: If a process has ended.
        """
        if not self.place.is_first:
            received = self.broadcast(b"")
            if received.startswith(b"-"):
                message = json.loads(received[1:])
                is_near = self.place.rank == self.place.local_rank
                raise RemoteError(message["error"], "" if is_near else f"process 0 on {message['host']}")
            return received[1:]
        try:
            message = produce()
        except common as error:
            self.broadcast(b"-" + json.dumps({"host": platform.node(), "error": full_record(error)}).encode())
            raise
        self.broadcast(b"+" + message)
        return message

    def agree(
        self, prepare: Callable[[], T], describe: Callable[[T], dict[str, Any]]
    ) -> tuple[T, list[dict[str, Any]]]:
        """Return the result of `prepare` in this process, and its description in all processes, by rank.

        Raises:
            DlcliError: In all processes, if `prepare` raises an error in one of them.
            LostProcess: If a process has ended.
        """
        host, failure, record = {"host": platform.node()}, None, None
        try:
            prepared = prepare()
            record = host | describe(prepared)
        except Exception as error:
            failure = error
            known = error if isinstance(error, DlcliError) else DlcliError(f"{type(error).__name__}: {error}")
            record = host | {"error": full_record(known)}
        records = [json.loads(message) for message in self.exchange(json.dumps(record).encode())]
        first = next((rank for rank, each in enumerate(records) if "error" in each), None)
        if failure is not None and (first == 0 == self.place.rank or not isinstance(failure, DlcliError)):
            raise failure
        if first is not None:
            where = f"process {first} on {records[first]['host']}" if first else ""
            raise RemoteError(records[first]["error"], where)
        return prepared, records

    def open_group(self, world: World, settings: TrainingSection) -> None:
        """Open the group for the collective operations of steps, whose timeout is short.

        Raises:
            LostProcess: If a process has ended.
        """
        world.timeout_seconds = settings.timeout_seconds
        with losses_explained(LOADING_SECONDS):
            timeout = timedelta(seconds=settings.timeout_seconds)
            world.group = wait_in_thread(lambda: distributed.new_group(timeout=timeout))


def _finish(work: Any) -> None:
    """Wait for a collective operation in Python, so that a signal ends this process at once."""
    while not work.is_completed():
        time.sleep(_POLL_SECONDS)
    work.wait()


@contextmanager
def open_ranks(note: Callable[[str], None]) -> Iterator[Ranks]:
    """Yield the connected processes; see `Ranks`. If others start later, `note` gets one line.

    After an error they stay connected until this process ends: to close a connection waits for processes that may have
    ended.

    Raises:
        UsageError: If the environment does not describe them.
        LostProcess: If they cannot be reached.
    """
    ranks = Ranks(read_rank())
    ranks.connect(note)
    yield ranks
    distributed.destroy_process_group()


def is_connected() -> bool:
    """Return whether this process is connected to others."""
    return distributed.is_initialized()


def wait_for_end_of_first() -> None:
    """Wait until the first process has ended, which closes its connections."""
    with suppress(RuntimeError):
        _finish(distributed.broadcast(torch.zeros(1), 0, async_op=True))


def check_world(config: Config, place: Rank) -> None:
    """Check the settings of a training on several processes, before its data is read.

    Raises:
        UsageError: If they do not fit the number of processes.
    """
    settings, size = config.training, place.size
    if settings.shards is not None and settings.shards % size:
        message = f"training.shards is {settings.shards}, which {size} processes cannot share equally"
        counts = join([str(count) for count in range(1, settings.shards + 1) if settings.shards % count == 0], "or")
        larger = settings.shards + size - settings.shards % size
        raise UsageError(message, hint=f"use {counts} processes, or for a new run `training.shards={larger}`")
    if config.model.batch_norm and config.model.hidden_sizes:
        message = f"model.batch_norm normalizes over the whole batch, of which {size} processes have parts"
        raise UsageError(message, hint="train in one process, or write `model.batch_norm=false`")
    if settings.device.startswith("cuda:") and place.local_size > 1:
        message = f"training.device is {settings.device}, and {place.local_size} processes need a device each"
        raise UsageError(message, hint="write it like `--device cuda`, which gives each process its own")


def check_batch_size(batch_size: int, size: int) -> None:
    """Check that each process has an example of a full batch.

    Raises:
        UsageError: If there are fewer examples than processes.
    """
    if batch_size < size:
        message = f"training.batch_size is {batch_size}, and each of {size} processes needs an example of a batch"
        raise UsageError(message, hint=f"write it like `training.batch_size={size}`, or use fewer processes")
