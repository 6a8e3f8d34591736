"""Other load on the machine, and processor affinities that change: what must not change a bit."""

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
def quiet(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Leave the machine as it is."""
    yield


@contextmanager
def busy(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Run two processes that compute all the time."""
    with _spinning(2):
        yield


@contextmanager
def coming_and_going(_pid: Callable[[], int | None]) -> Iterator[None]:
    """Run two processes that compute for some hundredths of a second, pause, and begin again."""
    with _spinning(2) as processes, _repeated(0.03) as turn:
        draw = random.Random(0)

        def stop_or_go() -> None:
            processes[draw.randrange(2)].send_signal(draw.choice([signal.SIGSTOP, signal.SIGCONT]))

        turn.append(stop_or_go)
        yield


@contextmanager
def pinned_and_back(pid: Callable[[], int | None]) -> Iterator[None]:
    """Move all threads of the process to one core, then to all, and so on."""
    everywhere = os.sched_getaffinity(0)
    draw = random.Random(0)

    def move() -> None:
        if (process := pid()) is not None:
            cores = draw.choice([everywhere, {draw.choice(sorted(everywhere))}])
            with contextlib.suppress(OSError):  # it has ended
                for thread in Path(f"/proc/{process}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cores)

    with _repeated(0.02) as turn:
        turn.append(move)
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
    """Call the functions in the list again and again, on a thread."""
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
