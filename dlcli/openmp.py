"""The settings of OpenMP, which torch's threads are made by: read once, while torch is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# Threads spin while they wait, by default so long that trainings at once slow each other down many times over: each
# waits for a thread that waits for its processor. With 300 turns before they sleep, two trainings on 2 cores take 2.1
# to 2.4 times as long as one (benchmarks/beside_load.py).
# KMP_BLOCKTIME is for the OpenMP of LLVM and Intel, in milliseconds; 1 is the least that is not 0, and not measured.
_WAITING = {"GOMP_SPINCOUNT": "300", "KMP_BLOCKTIME": "1"}
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
