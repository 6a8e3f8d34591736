"""Worker processes of a sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from dlcli.errors import DeviceError, Interrupted, RemoteError
from dlcli.programs import programs_allowed
from dlcli.sweeps.sweep import Sweep

STORAGE = "DLCLI_SWEEP_STORAGE"  # address of the database for worker processes: arguments are visible to everybody
_PARENT = "DLCLI_SWEEP_PARENT"  # number of the process that started a worker process
_WORKERS = "DLCLI_SWEEP_WORKERS"  # number of worker processes of the command
_LOOK_SECONDS = 0.2


class WorkerProcesses:
    """Processes that run the trials of a sweep.

    Args:
        sweep: Sweep.
        count: Number of processes.
        should_stop: Returns the signal number of a stop request, which is passed on.
        look: Called a few times per second.
        note: Called with one-line messages.
    """

    def __init__(
        self,
        sweep: Sweep,
        count: int,
        should_stop: Callable[[], int | None],
        look: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._sweep, self._count, self._should_stop, self._look, self._note = sweep, count, should_stop, look, note

    def run(self) -> None:
        """Run until all processes have ended; one that fails leaves its trial to the others.

        Raises:
            Interrupted: After a stop request; all trials are saved.
            RemoteError: If a process failed, and so trials are left.
            DeviceError: If the last process was killed.
        """
        with ExitStack() as stack:
            outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(self._count)]
            processes = [stack.enter_context(self._started(output)) for output in outputs]
            self._wait(processes)
            errors = [_read_error(process, output) for process, output in zip(processes, outputs, strict=True)]
            self._raise(errors)

    @contextmanager
    def _started(self, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """Start a worker in another process group, so that Ctrl-C reaches only this process; kill it at the end."""
        environment = dict(os.environ) | {_PARENT: str(os.getpid()), _WORKERS: str(self._count)}
        if self._sweep.url:
            environment[STORAGE] = self._sweep.url
        command = [sys.executable, "-m", "dlcli", "sweep-worker", str(self._sweep.folder.path), "--json"]
        with programs_allowed():
            process = subprocess.Popen(  # noqa: S603  # our own command
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _wait(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """Wait until all processes have ended; pass a stop request on.

        Raises:
            Interrupted: After a stop request.
        """
        signum: int | None = None
        while any(process.poll() is None for process in processes):
            if signum is None and (signum := self._should_stop()):
                for process in processes:
                    process.send_signal(signum)
            self._look()
            time.sleep(_LOOK_SECONDS)
        if signum is not None:
            raise Interrupted("interrupted", signum=signum)

    def _raise(self, errors: list[RemoteError | None]) -> None:
        """Raise the first error if trials are left; otherwise note all of them."""
        found = [error for error in errors if error is not None]
        if len(found) == self._count:
            raise found[0]
        for error in found:
            self._note(f"a worker failed, and the others ran its trial: {error.message}")


def _read_error(process: subprocess.Popen[bytes], output: IO[bytes]) -> RemoteError | None:
    """Return the error that ended a process; None if there was none."""
    code = process.returncode
    if code == 0:
        return None
    output.seek(0)
    text = output.read().decode("utf-8", "replace")
    for line in reversed(text.splitlines()):
        if line.startswith('{"error"'):
            record: dict[str, Any] = json.loads(line)["error"]
            return RemoteError(record)
    reason = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}: {text[-500:]}"
    hint = "run the same command again to continue"
    record = {"message": f"a worker {reason}", "hints": [hint], "code": DeviceError.exit_code, "kind": DeviceError.kind}
    return RemoteError(record)


def stop_with_parent(should_stop: Callable[[], int | None]) -> Callable[[], int | None]:
    """Return `should_stop` of a worker process, which also stops when the process that started it is gone.

    That may have ended before this one got so far.
    """
    parent = int(os.environ.get(_PARENT) or os.getppid())
    return lambda: should_stop() or (signal.SIGTERM if os.getppid() != parent else None)


def count_workers() -> int:
    """Return the number of workers of the command that started this worker process."""
    return int(os.environ.get(_WORKERS) or 1)
