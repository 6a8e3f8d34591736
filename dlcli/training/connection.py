"""Connection of processes: their network interface, and the addresses of those that started together."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from dlcli.errors import UsageError
from dlcli.ranks import Rank, is_launcher_waiting

T = TypeVar("T")

_GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915  # of ioctl(2), see netdevice(7)
_OFFER, _POLL_SECONDS = "dlcli", 0.01
_LARGEST_PORT = 65535
_RETRY_SECONDS = 1.0
_NOTE_SECONDS = 5.0  # other processes usually start within this time
_JOIN_SECONDS = 0.1


def connect(backend: str, place: Rank, seconds: float, note: Callable[[str], None]) -> None:
    """Connect this process to all others, with a timeout for the connection and for collective operations.

    Args:
        backend: Backend of the collective operations.
        place: Place of this process.
        seconds: Timeout.
        note: Called with one line if the other processes take seconds to start, unless `--processes` starts them all.

    Raises:
        UsageError: If the environment does not have the address of the first process, or that address cannot be used.
        RuntimeError: If they cannot be reached.
    """
    host, port = _read_address()
    _check_interfaces()
    timeout, deadline = timedelta(seconds=seconds), time.monotonic() + seconds

    def join() -> None:
        _wait_for_name(host, port, deadline)
        choose_interface()
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        start = name_start(store, place, deadline)
        distributed.init_process_group(
            backend, store=PrefixStore(start, store), rank=rank, world_size=size, timeout=timeout
        )

    with _address_explained(port):
        wait_in_thread(join, lambda: None if is_launcher_waiting() else note(_describe_wait(place, host, port)))


def _describe_wait(place: Rank, host: str, port: int) -> str:
    """Return what a process waits for."""
    others = f"{place.size - 1} other process{'es' if place.size > 2 else ''}" if place.is_first else "process 0"
    try:
        socket.getaddrinfo(host, port)
    except OSError:
        return f"waiting for the name {host} in MASTER_ADDR, which has no address yet"
    return f"waiting for {others} at {host}:{port}"


def _read_address() -> tuple[str, int]:
    """Return the host and port of the first process.

    Raises:
        UsageError: If the environment does not have them.
    """
    host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
    if not host or not port.isdecimal():
        message = "the environment does not have the address of the first process in MASTER_ADDR and MASTER_PORT"
        raise UsageError(message, hint="start the processes with torchrun, or unset WORLD_SIZE to train in one process")
    if not 1 <= int(port) <= _LARGEST_PORT:
        message = f"MASTER_PORT is {port}, which is not the number of a port"
        raise UsageError(message, hint=f"use a port from 1 to {_LARGEST_PORT}, the same on all machines")
    return host, int(port)


def wait_in_thread(blocking: Callable[[], T], note: Callable[[], None] = lambda: None) -> T:
    """Return the result of a function of torch that blocks, while signals can still end this process.

    Python runs signal handlers in the main thread between two of its instructions, so never while that thread is in a
    call of torch.

    Args:
        blocking: Function that may take long.
        note: Called once if it takes several seconds.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(blocking())
        except BaseException as error:
            result.set_exception(error)

    thread, start, is_noted = threading.Thread(target=run, daemon=True), time.monotonic(), False
    thread.start()
    while not result.done():
        thread.join(_JOIN_SECONDS)
        if not is_noted and time.monotonic() - start > _NOTE_SECONDS:
            is_noted = True
            note()
    return result.result()


def _wait_for_name(host: str, port: int, deadline: float) -> None:
    """Wait until the name of the first machine has an address; schedulers may start the others earlier.

    Raises:
        RuntimeError: If it has none at the deadline.
    """
    while True:
        try:
            socket.getaddrinfo(host, port)
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the name {host} in MASTER_ADDR has no address") from error
            time.sleep(_RETRY_SECONDS)
        else:
            return


@contextmanager
def _address_explained(port: int) -> Iterator[None]:
    """Convert the error of torch about a port that another program uses.

    Raises:
        UsageError: In the first process, which opens the port.
    """
    try:
        yield
    except RuntimeError as error:
        if not re.search("EADDRINUSE|already in use", str(error)):
            raise
        message = f"port {port} of this machine is in use by another program (MASTER_PORT)"
        raise UsageError(message, hint="choose another port for all processes: `--master-port PORT`") from error


def name_start(store: Store, place: Rank, deadline: float) -> str:
    """Return a name that only the processes of this start have, of all starts that use the same store.

    After a restart by torchrun, the store still has the addresses of processes that have ended. The first process
    offers a name, each other one answers with a random number, and accepts the name once the first has its number.

    Raises:
        RuntimeError: If a process does not answer.
    """
    mine = uuid.uuid4().hex
    if place.is_first:
        store.set(_OFFER, mine)
        answers = [f"{mine}/{rank}" for rank in range(1, place.size)]
        while not store.check(answers):
            _wait(deadline)
        store.set(f"{mine}/all", json.dumps([store.get(answer).decode() for answer in answers]))
        return mine
    while True:
        if store.check([_OFFER]):
            offer = store.get(_OFFER).decode()  # perhaps of an earlier start, which does not know this process
            store.set(f"{offer}/{place.rank}", mine)
            if store.check([f"{offer}/all"]) and mine in json.loads(store.get(f"{offer}/all")):
                return offer
        _wait(deadline)


def _wait(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise RuntimeError("timed out waiting for the start of the other processes")
    time.sleep(_POLL_SECONDS)  # in Python, so that signals end this process


def _check_interfaces() -> None:
    """Check that this machine has the network interfaces that the user has chosen for gloo.

    Raises:
        UsageError: If it does not have one of them.
    """
    chosen = os.environ.get(_GLOO_INTERFACE, "").split(",")
    known = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else chosen
    if missing := next((name for name in chosen if name and name not in known), None):
        message = f"{_GLOO_INTERFACE} names the network interface {missing!r}, which this machine does not have"
        raise UsageError(message, hint=f"use one of {', '.join(known)}, or unset the variable")


def choose_interface() -> None:
    """Make gloo use the network interface that leads to the first process, unless the user has chosen one.

    By default it uses the address of the name of the machine, which may be that of the machine for itself only.
    """
    if _GLOO_INTERFACE in os.environ or sys.platform != "linux":
        return
    with suppress(OSError, ValueError):
        name = _interface_to(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        if name is not None:
            os.environ[_GLOO_INTERFACE] = name


def _interface_to(host: str, port: int) -> str | None:
    """Return the interface with the address from which packets to `host` are sent; None if there is none.

    Raises:
        OSError: If the host is unknown or cannot be reached.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)  # sends nothing
        own = probe.getsockname()[0]
    names = [name for _, name in socket.if_nameindex()]
    addresses = _ipv6_addresses() if family == socket.AF_INET6 else {name: _ipv4_address(name) for name in names}
    packed = socket.inet_pton(family, own.partition("%")[0])
    return next((name for name, found in addresses.items() if found == packed), None)


def _ipv4_address(interface: str) -> bytes:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        request = struct.pack("256s", interface.encode()[:15])
        return fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24]
    return b""


def _ipv6_addresses() -> dict[str, bytes]:
    with open("/proc/net/if_inet6", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return {name: bytes.fromhex(digits) for digits, *_, name in lines}
