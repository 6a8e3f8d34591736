"""Background load and changing CPU affinity, which must not affect the results of training."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SPIN = "while True: pass"


@contextmanager
def idle(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Run no background load."""
    yield


@contextmanager
def busy(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Run two processes that compute continuously."""
    with _spinning(2):
        yield


@contextmanager
def intermittent(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Run two processes that alternate between computing and pausing every few hundredths of a second."""
    with _spinning(2) as processes, _repeated(0.03) as functions:
        draw = random.Random(0)

        def toggle() -> None:
            processes[draw.randrange(2)].send_signal(draw.choice([signal.SIGSTOP, signal.SIGCONT]))

        functions.append(toggle)
        yield


@contextmanager
def changing_affinity(pid: Callable[[], int | None]) -> Iterator[None]:
    """Repeatedly move all threads of the process to one core or back to all cores."""
    all_cores = os.sched_getaffinity(0)
    draw = random.Random(0)

    def move() -> None:
        if (process := pid()) is not None:
            cores = draw.choice([all_cores, {draw.choice(sorted(all_cores))}])
            with contextlib.suppress(OSError):  # the process has ended
                for thread in Path(f"/proc/{process}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cores)

    with _repeated(0.02) as functions:
        functions.append(move)
        yield


@contextmanager
def _spinning(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@contextmanager
def _repeated(seconds: float) -> Iterator[list[Callable[[], None]]]:
    """Call the functions in the list repeatedly on a thread."""
    functions: list[Callable[[], None]] = []
    ended = threading.Event()

    def repeat() -> None:
        while not ended.is_set():
            for function in functions:
                function()
            time.sleep(seconds)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield functions
    finally:
        ended.set()
        thread.join()
