"""The settings of OpenMP, which torch's threads are made by: read once, while torch is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# Threads spin while they wait, by default for so long that two trainings at once on 2 cores take 80 times as long as
# one: each waits for a thread that waits for its processor. With 300 turns, about a microsecond, before they sleep, two
# take 2.2 times as long, and one alone takes no longer than with 30,000 (benchmarks/beside_load.py).
# KMP_BLOCKTIME is for the OpenMP of LLVM and Intel, in milliseconds; 1 is the least that is not 0, and not measured.
_WAITING = {"GOMP_SPINCOUNT": "300", "KMP_BLOCKTIME": "1"}
_CALLERS_CHOICE = ("OMP_WAIT_POLICY", *_WAITING)


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set OpenMP up in a process of dlcli's own, before torch is loaded.

    How threads wait is left to the user where an environment variable says it. How many there are is not: OMP_DYNAMIC
    would have the system's load decide it, OMP_THREAD_LIMIT would give fewer than a run is made for, and the number
    decides the last bits of results.
    """
    _set_waiting(environment)
    environment["OMP_DYNAMIC"] = "FALSE"
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


def fewer_threads_reason(threads: int) -> str | None:
    """Return why OpenMP may give fewer threads than asked for, by the environment that it was loaded with; or None."""
    if threads > 1 and os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("true", "1"):
        return "OMP_DYNAMIC has the system's load choose the number of threads"
    limit = os.environ.get("OMP_THREAD_LIMIT", "").strip()
    if limit.isdigit() and int(limit) < threads:
        return f"OMP_THREAD_LIMIT={limit} allows fewer than {threads} threads"
    return None
