"""Number of CPU threads, by the size of the work and the number of cores, independent of the load."""

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

# Number of multiplications in a step's largest product from which two threads are faster than one. Measured on 2 cores:
# the time of two threads relative to one is 0.8 to 1.1 at 2**19, 0.9 at 2**20, 0.8 at 2**21.
TWO_THREADS_FROM = 2**20
# Number of multiplications per thread, for more than two threads. Estimated, not measured: about 15 microseconds of
# work on one core, several times the cost of waking a thread and waiting for it.
_PER_THREAD = 2**20

_CPUS = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


def threads_for(operations: int) -> int:
    """Return the number of threads for steps whose largest matrix product takes `operations` multiplications.

    The rule depends only on the size of the work and the hardware, because the last bits of a sum depend on its
    partition: MKL divides a product among its threads by shape and number of threads.
    """
    if operations < TWO_THREADS_FROM:
        return 1
    return min(machine_cores(), max(2, operations // _PER_THREAD))


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Run the block with exactly `threads` CPU threads, whatever the OpenMP settings of the environment are.

    Raises:
        UsageError: If OpenMP allows fewer threads, or the process is a fork of one that used threads.
    """
    if threads > 1:
        _check_threads(threads)
    before, callers = torch.get_num_threads(), [(library.omp_get_dynamic(), _levels(library)) for library in _openmp()]
    torch.set_num_threads(threads)  # even if unchanged, because MKL keeps a number for each calling thread
    for library in _openmp():
        library.omp_set_dynamic(0)  # otherwise the load may reduce the number
        library.omp_set_max_active_levels(max(1, _levels(library)))  # with 0, one thread would do all the work
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
        raise UsageError(message, hint="start the process with multiprocessing's `spawn` method")
    _use["threads"] = True
    limit = min((int(library.omp_get_thread_limit()) for library in _openmp()), default=threads)
    if 0 < limit < threads:
        message = f"cannot repeat results bit for bit: OpenMP allows {limit} of {threads} threads"
        raise UsageError(message, hint="unset OMP_THREAD_LIMIT before torch is loaded")


def _note_fork() -> None:
    _use["forked"] = _use["threads"]


_use = {"threads": False, "forked": False}  # forked: from a process that had used several threads
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@cache
def _openmp() -> tuple[Any, ...]:
    """Return the loaded OpenMP libraries, torch's first; other packages may load more."""
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="openmp").lib_controllers
    return tuple(ctypes.CDLL(library.filepath) for library in libraries)


def _levels(library: Any) -> int:
    return int(library.omp_get_max_active_levels())


@cache
def machine_cores() -> int:
    """Return the number of physical cores of the machine or its container.

    Processor affinity and OMP_NUM_THREADS are ignored, because they differ between calls and the number affects the
    last bits.
    """
    cores = _physical_cores() or os.cpu_count() or 1
    return max(1, min([cores, *_container_limits()]))


def _physical_cores() -> int:
    """Return the number of physical cores that Linux reports; 0 if unknown."""
    siblings = set()
    for file in _CPUS.glob("cpu[0-9]*/topology/thread_siblings_list"):
        with suppress(OSError):
            siblings.add(file.read_text())
    return len(siblings)


def _container_limits() -> Iterator[int]:
    """Yield the limits that control groups (versions 1 and 2) set for the container."""
    for quota in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            text = (_CGROUP / quota).read_text()
            if quota != "cpu.max":
                text = f"{text} {(_CGROUP / 'cpu/cpu.cfs_period_us').read_text()}"
            granted, period = map(int, text.split())  # "max" and -1 mean no limit
            if granted > 0:
                yield ceil(granted / period)
    for cpus in ("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus"):
        with suppress(OSError, ValueError):
            ranges = [part.split("-") for part in (_CGROUP / cpus).read_text().strip().split(",")]
            yield sum(int(last[-1]) - int(last[0]) + 1 for last in ranges)
