"""The number of CPU threads: fixed by the size of the work and the machine's cores, never by its load."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import torch

from dlcli.errors import UsageError

# Multiplications in a step's largest product from which two threads are faster than one. Measured on 2 cores: two take
# 0.8 to 1.1 times as long at 2**19, 0.9 at 2**20, 0.8 at 2**21.
TWO_THREADS_FROM = 2**20
# Multiplications for each of more than two threads. Reasoned, not measured: some 15 microseconds of work on one core,
# several times what it takes to wake a thread and to wait for it.
_PER_THREAD = 2**20

_CPUS = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


def threads_for(operations: int) -> int:
    """Return the number of threads for work whose largest matrix product takes `operations` multiplications.

    The rule looks at the size of the work and at the hardware alone, because a sum's last bits depend on how it is
    shared out: MKL divides a product among its threads by shape and by their number.
    """
    if operations < TWO_THREADS_FROM:
        return 1
    return min(machine_cores(), max(2, operations // _PER_THREAD))


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run the block with exactly this many CPU threads, whatever OpenMP was told to do.

    Raises:
        UsageError: If OpenMP gives no more than a lower number, or none in a forked process.
    """
    if threads > 1:
        _check_threads(threads)
    before, callers = torch.get_num_threads(), [(one.omp_get_dynamic(), _levels(one)) for one in _openmp()]
    torch.set_num_threads(threads)  # even where it is the same: MKL keeps a number for each calling thread
    for library in _openmp():
        library.omp_set_dynamic(0)  # the system's load would choose the number
        library.omp_set_max_active_levels(max(1, _levels(library)))  # 0 would have one thread do the work of all
    try:
        yield
    finally:
        torch.set_num_threads(before)
        for library, (dynamic, levels) in zip(_openmp(), callers, strict=True):
            library.omp_set_dynamic(dynamic)
            library.omp_set_max_active_levels(levels)


def _check_threads(threads: int) -> None:
    if _use["forked"]:
        message = "this process was forked from one that has used dlcli: OpenMP's threads are not copied by a fork"
        raise UsageError(message, hint="start it with multiprocessing's `spawn` method")
    _use["threads"] = True
    limit = min((int(library.omp_get_thread_limit()) for library in _openmp()), default=threads)
    if 0 < limit < threads:
        message = f"cannot repeat results bit for bit: OpenMP allows {limit} of {threads} threads"
        raise UsageError(message, hint="unset OMP_THREAD_LIMIT before torch is loaded")


def _note_fork() -> None:
    _use["forked"] = _use["threads"]


_use = {"threads": False, "forked": False}  # whether this process has used several, and was forked after that
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@cache
def _openmp() -> tuple[Any, ...]:
    """Return the OpenMP libraries that are loaded: torch's comes first, others may bring their own."""
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="openmp").lib_controllers
    return tuple(ctypes.CDLL(library.filepath) for library in libraries)


def _levels(library: Any) -> int:
    return int(library.omp_get_max_active_levels())


@cache
def machine_cores() -> int:
    """Return the number of physical cores of the machine, or of the part of it that its container may use.

    Processor affinity and OMP_NUM_THREADS are left out on purpose: they differ from one call to the next, and the
    number decides bits.
    """
    cores = _physical_cores() or os.cpu_count() or 1
    return max(1, min([cores, *_container_limits()]))


def _physical_cores() -> int:
    """Return how many cores Linux names, each once however many hardware threads it has; 0 where it names none."""
    siblings = set()
    for file in _CPUS.glob("cpu[0-9]*/topology/thread_siblings_list"):
        with suppress(OSError):
            siblings.add(file.read_text())
    return len(siblings)


def _container_limits() -> Iterator[int]:
    """Yield the limits that control groups set on the container as a whole (versions 1 and 2)."""
    for quota in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            text = (_CGROUP / quota).read_text()
            if quota != "cpu.max":
                text = f"{text} {(_CGROUP / 'cpu/cpu.cfs_period_us').read_text()}"
            granted, period = map(int, text.split())  # "max" and -1 stand for no limit
            if granted > 0:
                yield ceil(granted / period)
    for cpus in ("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus"):
        with suppress(OSError, ValueError):
            ranges = [part.split("-") for part in (_CGROUP / cpus).read_text().strip().split(",")]
            yield sum(int(last[-1]) - int(last[0]) + 1 for last in ranges)
