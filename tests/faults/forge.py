"""Processes of dlcli by the hundred: torch is imported once, each process is a fork of that one.

Run as a program it is the process that forks. It reads a request a line, what to start, and answers with the child's
pid; to the request `reap` it waits for that child and answers with its status. It has one thread, so that a fork copies
no thread pool.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from dlcli.openmp import prepare_process

HERE = Path(__file__)


class Ended(NamedTuple):
    """How a process ended; `code` is negative for a signal, as in subprocess."""

    code: int
    out: str
    err: str


class Child:
    """A process of dlcli that has begun."""

    def __init__(self, forge: Forge, pid: int, folder: Path) -> None:
        assert pid > 0, "this answers an earlier request; 0 would be the suite's own process group"
        self.pid = pid
        self._forge = forge
        self._folder = folder

    def kill(self, signum: int) -> None:
        """Send a signal; a process that has ended stays a zombie until `wait`, so that none else is hit."""
        os.kill(self.pid, signum)

    def wait(self) -> Ended:
        status = self._forge.ask("reap")
        out, err = ((self._folder / name).read_text(errors="replace") for name in ("out", "err"))
        return Ended(os.waitstatus_to_exitcode(status), out, err)


class Forge:
    """Starts processes, one at a time."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        prepare_process(environment)  # as dlcli does before it loads torch
        self._process = subprocess.Popen(
            [sys.executable, str(HERE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.read() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()

    def read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the forking process has died"
        return json.loads(line)

    def ask(self, request: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.read()

    def start(self, *arguments: str, folder: Path, fault: Mapping[str, Any] | None = None) -> Child:
        """Begin `dlcli` with arguments in a folder.

        Args:
            arguments: Of the command line.
            folder: Working folder; `out` and `err` are written there.
            fault: See `_suffer`.
        """
        request = {"arguments": arguments, "folder": str(folder), "fault": fault or {}}
        return Child(self, self.ask(request), folder)

    def run(self, *arguments: str, folder: Path, fault: Mapping[str, Any] | None = None) -> Ended:
        """Run `dlcli` to its end."""
        return self.start(*arguments, folder=folder, fault=fault).wait()


def _serve() -> None:
    """Import all that a run needs, then fork a child per request."""
    import torch

    torch.set_num_threads(1)
    import filelock  # noqa: F401  # imported late elsewhere
    import rich.console
    import rich.text  # noqa: F401
    import torchvision  # noqa: F401

    import dlcli.api
    import dlcli.cli
    from dlcli.config.load import load_config
    from dlcli.signals import leave_at_signals
    from dlcli.training import isolation, threads
    from dlcli.training.fit import Fit

    cores = threads.machine_cores
    isolation.machine_cores = threads.machine_cores = lambda: 1  # type: ignore[assignment]  # no pool before a fork
    setup = dlcli.api.set_up(load_config("digits", ["training.epochs=1"]).config)
    list(Fit(setup.model, setup.task, setup.splits, setup.config))
    isolation.machine_cores = threads.machine_cores = cores
    _answer("ready")
    pid = 0
    leave_at_signals()  # as dlcli's first line does, for what lies between a fork and that line
    for line in sys.stdin:
        request = json.loads(line)
        if request == "reap":
            _answer(os.waitpid(pid, 0)[1])
            continue
        pid = os.fork()
        if pid == 0:
            _be_dlcli(**request)
        _answer(pid)


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _be_dlcli(arguments: list[str], folder: str, fault: dict[str, Any]) -> None:
    """Run the command line and leave; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.argv = ["dlcli", *arguments]
        _suffer(**fault)
        try:
            runpy.run_module("dlcli", run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
    except BaseException:  # as Python itself tells it
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _suffer(
    *,
    eager_saves: bool = False,
    frequent_saves: bool = False,
    crash_at: int = 0,
    half: bool = False,
    power_cut: bool = False,
    count: bool = False,
    file_bytes: int = 0,
    full_at: int = 0,
    user: int = 0,
    outputs: str = "",
    start_at: float = 0.0,
    slow_seconds: float = 0.0,
) -> None:
    """Prepare this process for what is to happen to it.

    Args:
        eager_saves: Look and save as often as can be, within epochs too; losses are summed over fewer batches for it.
        frequent_saves: Look and save as often as can be without a change to any sum.
        crash_at: The file operation, counted from 1, before which the process dies.
        half: Of a write, half is done first.
        power_cut: What was not synchronised is lost, too.
        count: Tell at the end how many file operations there were, in the file `operations`.
        file_bytes: No file may grow larger.
        full_at: The write, counted from 1, from which on the disk is full.
        user: Whose process it is.
        outputs: How its outputs fail, see `faults.outputs`.
        start_at: When to begin, in seconds of time.time().
        slow_seconds: How long a step takes at least.
    """
    from faults.disk import Disk

    if user:
        _import_what_runs_need()
        os.setgid(user)
        os.setuid(user)
    if eager_saves or frequent_saves:
        from dlcli.runs import recorder
        from dlcli.training import fit

        recorder.SAVE_SECONDS, fit.REPORT_SECONDS = 0.0, 0.0
    if eager_saves:
        from dlcli.training import batches

        batches.MOST_BATCHES = 4
    if slow_seconds:
        _slow_down(slow_seconds)
    if crash_at or count or full_at:
        Disk(crash_at=crash_at, half=half, power_cut=power_cut, full_at=full_at, count=count).mount()
    if file_bytes:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if outputs:
        from faults.outputs import break_outputs

        break_outputs(outputs)
    if start_at:
        time.sleep(max(0.0, start_at - time.time()))


def _import_what_runs_need() -> None:
    """Train, resume and fail once: another user may not be allowed to read what Python imports late."""
    import resource  # noqa: F401  # looked at as a process begins

    from dlcli.cli import app
    from dlcli.errors import UsageError
    from faults.outcome import RESUME, TRAIN

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        app(["-q", *TRAIN], standalone_mode=False)
        app(["-q", *RESUME], standalone_mode=False)
        with contextlib.suppress(UsageError):
            app(["train", "--resume", "nothing"], standalone_mode=False)


def _slow_down(seconds: float) -> None:
    from dlcli.training.fast.step import ManualStep

    run = ManualStep.run

    def slowly(self: ManualStep, *arguments: Any) -> Any:
        time.sleep(seconds)
        return run(self, *arguments)

    ManualStep.run = slowly  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    _serve()
