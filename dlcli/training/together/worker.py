"""Worker process of a group: it trains blocks of members, and sends their events and states."""

from __future__ import annotations

import gc
import pickle  # noqa: TID251  # messages between our own processes, never files
import signal
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Events, Member, Snapshot
from dlcli.training.together.plan import place


@dataclass(frozen=True)
class Message:
    """Message of a worker.

    Attributes:
        kind: `events`, `snapshots` (the answer to a request) or `ended` (the end of a block).
        events: Events since the last message.
        snapshots: States after these events.
        rest: Members that the worker could not train.
    """

    kind: str
    events: Events = ()
    snapshots: Sequence[Snapshot] = ()
    rest: Sequence[int] = ()


def work(members: Sequence[Member], connection: Connection, inherited: Sequence[Connection]) -> None:
    """Train blocks of members on request, in a worker process, until the other side closes the connection."""
    for other in inherited:  # otherwise this process would keep inherited connections open
        other.close()
    gc.freeze()  # collections then skip objects from before the fork, and so copy none of their memory
    gc.disable()  # collections take a twentieth of the time, and find nothing within a block
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # the parent handles signals to the process group
    torch.set_num_threads(1)  # a forked process has no other threads, but would wait for them
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request, *numbers = pickle.loads(connection.recv_bytes())  # noqa: S301
            if request == "snapshots":  # the request arrived after the end of a block, which has sent all snapshots
                connection.send_bytes(dumps(Message("snapshots")))
                continue
            gc.collect()
            try:
                _train_block(members, numbers, connection)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                connection.send_bytes(dumps(error))


def _train_block(members: Sequence[Member], numbers: Sequence[int], connection: Connection) -> None:
    """Train members; send their events, and their states on request and at the end."""
    built = {number: members[number] for number in numbers}
    places = [number for number in numbers if place(built[number]).fits_worker]
    group = LocalGroup([built[number] for number in places])

    def send(kind: str, events: Events, snapshots: Sequence[Snapshot], rest: Sequence[int] = ()) -> None:
        moved = [replace(snapshot, number=places[snapshot.number]) for snapshot in snapshots]
        numbered = [(places[number], event) for number, event in events]
        message = Message(kind, numbered, moved, rest)
        connection.send_bytes(dumps(message) if moved else pickle.dumps(message, protocol=5))

    for events in group:
        if events:
            send("events", events, [])
        while connection.poll():
            connection.recv_bytes()  # `snapshots` is the only request during training
            send("snapshots", *group.snapshots())
    send("ended", *group.snapshots(), rest=[number for number in numbers if number not in places])


class _Pickler(pickle.Pickler):
    """Pickler that stores tensors as NumPy arrays, which takes a tenth of the time."""

    def reducer_override(self, value: object) -> Any:
        """See `pickle.Pickler.reducer_override`."""
        return (torch.from_numpy, (value.numpy(),)) if isinstance(value, Tensor) else NotImplemented


def dumps(value: object) -> bytes:
    """Return the bytes of a message, which `pickle.loads` reads."""
    buffer = BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()
