"""The settings of OpenMP, which torch's threads are made by: read once, while torch is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# A thread that waits for another one first spins, then sleeps. By default it spins so long that trainings at once slow
# each other down twenty times and more, because each waits for a thread that waits for a core. If it spins too briefly,
# a training alone pays for waking it: 2.5 times as long with 300 turns. With 3,000 turns (some 150 microseconds), one
# alone takes 4 to 12 % longer than by default, and two at once on 2 cores 3 to 4 times as long as one
# (benchmarks/beside_load.py).
# KMP_BLOCKTIME is for the OpenMP of LLVM and Intel, in milliseconds; 1 is the least that is not 0, and not measured.
_WAITING = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}
_CALLERS_CHOICE = ("OMP_WAIT_POLICY", *_WAITING)


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OpenMP up in a process of dlcli's own, before torch is loaded.

    How threads wait is left to the user where an environment variable says it. How many there are is not, as their
    number decides the last bits of results: a limit would give fewer than a run is made for. What else decides their
    number is set where threads are used, see `threads.py`.
    """
    _set_waiting(environment)
    environment.pop("OMP_THREAD_LIMIT", None)


@contextmanager
def waiting_set() -> Iterator[None]:
    """Load torch in the block with threads that wait briefly; the caller's environment is restored after it."""
    if "torch" in sys.modules:
        yield
        return
    before = {name: os.environ.get(name) for name in _WAITING}
    _set_waiting(os.environ)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _set_waiting(environment: MutableMapping[str, str]) -> None:
    if not any(name in environment for name in _CALLERS_CHOICE):
        environment.update(_WAITING)
