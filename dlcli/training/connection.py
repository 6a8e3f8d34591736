"""Connection of processes: their network interface, and the addresses of those that started together."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
import uuid
from contextlib import suppress
from datetime import timedelta

from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from dlcli.errors import UsageError
from dlcli.ranks import Rank

_GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
_SIOCGIFADDR = 0x8915  # of ioctl(2), see netdevice(7)
_OFFER, _POLL_SECONDS = "dlcli", 0.01


def connect(backend: str, place: Rank, seconds: float) -> None:
    """Connect this process to all others, with a timeout for the connection and for collective operations.

    Raises:
        UsageError: If the environment does not have the address of the first process.
        RuntimeError: If they cannot be reached.
    """
    if not os.environ.get("MASTER_ADDR") or not os.environ.get("MASTER_PORT", "").isdecimal():
        message = "the environment does not have the address of the first process in MASTER_ADDR and MASTER_PORT"
        raise UsageError(message, hint="start the processes with torchrun, or unset WORLD_SIZE to train in one process")
    choose_interface()
    timeout = timedelta(seconds=seconds)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    start = name_start(store, place, time.monotonic() + seconds)
    distributed.init_process_group(
        backend, store=PrefixStore(start, store), rank=rank, world_size=size, timeout=timeout
    )


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
