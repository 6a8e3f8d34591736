"""OpenMP environment variables, which torch reads once, while it is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# A waiting thread first spins, then sleeps. By default it spins so long that concurrent trainings are 20 or more times
# slower, because each waits for a thread that waits for a core. If it spins too briefly, waking it slows down a single
# training, which takes 2.5 times as long with a spin count of 300. With 3,000 (about 150 microseconds), a single
# training takes 4 to 12 % longer than by default (benchmarks/beside_load.py). Concurrent trainings take turns:
# training/turns.py.
# KMP_BLOCKTIME, for the OpenMP of LLVM and Intel, is in milliseconds; 1 is the smallest value above 0. Its effect has
# not been measured.
_WAIT_POLICY = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}
_USER_VARIABLES = ("OMP_WAIT_POLICY", *_WAIT_POLICY)


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the OpenMP variables of a dlcli process, before torch is loaded.

    Variables of the user for the waiting of threads are kept. A limit on the number of threads is removed, because the
    number affects the last bits of results. `threads.py` sets everything else that affects the number of threads.
    """
    _set_wait_policy(environment)
    environment.pop("OMP_THREAD_LIMIT", None)


@contextmanager
def wait_policy_set() -> Iterator[None]:
    """Set the wait policy of threads for a block that loads torch, then restore the environment of the caller."""
    if "torch" in sys.modules:
        yield
        return
    before = {name: os.environ.get(name) for name in _WAIT_POLICY}
    _set_wait_policy(os.environ)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _set_wait_policy(environment: MutableMapping[str, str]) -> None:
    if not any(name in environment for name in _USER_VARIABLES):
        environment.update(_WAIT_POLICY)
