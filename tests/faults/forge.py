"""Fast start of many dlcli processes: torch is imported once in a server process, which forks for each run.

Run as a script, this module is the server. It reads one JSON request per line, starts a process and answers with its
pid; a request that is a pid waits for that process and returns its status. The server is single-threaded, because a
fork does not copy thread pools.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import math
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
    """Result of a process; `code` is negative for a signal, as in subprocess."""

    code: int
    out: str
    err: str


class Child:
    """A running dlcli process."""

    def __init__(self, forge: Forge, pid: int, folder: Path) -> None:
        assert pid > 0, "this is the answer to an earlier request; pid 0 would be the process group of the tests"
        self.pid = pid
        self._forge = forge
        self._folder = folder

    def kill(self, signum: int) -> None:
        """Send a signal; this is safe because an ended process stays a zombie until `wait`."""
        os.kill(self.pid, signum)

    def wait(self) -> Ended:
        status = self._forge.ask(self.pid)
        out, err = ((self._folder / name).read_text(errors="replace") for name in ("out", "err"))
        return Ended(os.waitstatus_to_exitcode(status), out, err)


class Forge:
    """Client of the server.

    Args:
        modules: Modules that the server imports beside those of `dlcli train`.
    """

    def __init__(self, *modules: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        prepare_process(environment)  # dlcli does this before it imports torch
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), *modules],
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
        assert line, "the server has died"
        return json.loads(line)

    def ask(self, request: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.read()

    def start(self, *arguments: str, folder: Path, fault: Mapping[str, Any] | None = None, outputs: str = "") -> Child:
        """Start `dlcli` in a folder.

        Args:
            arguments: Command-line arguments.
            folder: Working folder; the files `out` and `err` in it receive the output.
            fault: Arguments of `_apply_faults`.
            outputs: Subfolder of these files, for several processes at once.
        """
        (folder / outputs).mkdir(exist_ok=True)
        request = {"arguments": arguments, "folder": str(folder), "outputs": outputs, "fault": fault or {}}
        return Child(self, self.ask(request), folder / outputs)

    def run(self, *arguments: str, folder: Path, fault: Mapping[str, Any] | None = None) -> Ended:
        """Run `dlcli` and wait for its end."""
        return self.start(*arguments, folder=folder, fault=fault).wait()


def _serve() -> None:
    """Import all modules that a run needs, then fork a child per request."""
    import torch

    torch.set_num_threads(1)
    import filelock  # noqa: F401  # dlcli imports these lazily
    import rich.console
    import rich.text  # noqa: F401
    import torchvision  # noqa: F401

    import dlcli.api
    import dlcli.cli

    for module in sys.argv[1:]:
        importlib.import_module(module)
    from dlcli.config.load import load_config
    from dlcli.signals import exit_on_signals
    from dlcli.training import isolation, threads
    from dlcli.training.fit import Fit

    cores = threads.machine_cores
    isolation.machine_cores = threads.machine_cores = lambda: 1  # type: ignore[assignment]  # no thread pool before a fork
    experiment = dlcli.api.build_experiment(load_config("digits", ["training.epochs=1"]).config)
    list(Fit(experiment.model, experiment.task, experiment.splits, experiment.config))
    isolation.machine_cores = threads.machine_cores = cores
    _answer("ready")
    exit_on_signals()  # covers the time between the fork and the first line of dlcli, which does the same
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            _answer(os.waitpid(request, 0)[1])
            continue
        pid = os.fork()
        if pid == 0:
            _run_dlcli(**request)
        _answer(pid)


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _run_dlcli(arguments: list[str], folder: str, outputs: str, fault: dict[str, Any]) -> None:
    """Run the command line and exit; never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(os.path.join(outputs, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.argv = ["dlcli", *arguments]
        _apply_faults(**fault)
        try:
            runpy.run_module("dlcli", run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        sys.stdout.flush()
    except BaseException:  # print the traceback as Python does
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _apply_faults(
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
    epoch_log: str = "",
    without_sync: bool = False,
    stale_seconds: float = 0.0,
) -> None:
    """Inject faults into this process.

    Args:
        eager_saves: Report and save as often as possible, also within epochs, by summing losses over fewer batches.
        frequent_saves: Report and save as often as possible without changing how losses are summed.
        crash_at: Number, from 1, of the file operation before which the process is killed; 0 disables it.
        half: Whether the first half of a write is done before the crash.
        power_cut: Whether the crash also discards unsynced data.
        count: Whether to write the number of operations and of writes to the file `operations`.
        file_bytes: Maximum size of a file; 0 means no limit.
        full_at: Number, from 1, of the write from which the disk is full; 0 disables it.
        user: User id to run as; 0 keeps the current user.
        outputs: Fault of stdout and stderr, see `faults.outputs`.
        start_at: Time to wait for, as returned by time.time().
        slow_seconds: Delay of every step in seconds.
        epoch_log: File to which each epoch that ends appends a line: run, epoch and process.
        without_sync: Whether to skip fsync, which a kill does not need.
        stale_seconds: Time after which a claim in a database is free; 0 keeps the usual one.
    """
    from faults.disk import Disk

    if user:
        _preload_modules()
        os.setgid(user)
        os.setuid(user)
    if eager_saves or frequent_saves:
        from dlcli.runs import recorder
        from dlcli.runs.group import recorder as group_recorder
        from dlcli.training import fit

        recorder.SAVE_SECONDS, fit.REPORT_SECONDS = 0.0, 0.0
        group_recorder.SAVE_SECONDS, group_recorder.SAVE_SHARE = 0.0, math.inf
    if eager_saves:
        from dlcli.training import batches

        batches.MOST_BATCHES = 4
    if slow_seconds:
        _slow_down(slow_seconds)
    if without_sync or epoch_log:
        _change_files(epoch_log, is_synced=not without_sync)
    _free_claims_after(stale_seconds)
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


def _preload_modules() -> None:
    """Train, resume and fail once to import all lazy modules, which another user may not be allowed to read."""
    import resource  # noqa: F401  # dlcli imports it at its start

    from dlcli.cli import app
    from dlcli.errors import UsageError
    from faults.outcome import RESUME, TRAIN

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        app(["-q", *TRAIN], standalone_mode=False)
        app(["-q", *RESUME], standalone_mode=False)
        with contextlib.suppress(UsageError):
            app(["train", "--resume", "nothing"], standalone_mode=False)


def _slow_down(seconds: float) -> None:
    from dlcli.training.fast.stack import Stack
    from dlcli.training.fast.step import ManualStep

    for kind in (ManualStep, Stack):
        kind.run = _delayed(kind.run, seconds)  # type: ignore[attr-defined]


def _delayed(run: Any, seconds: float) -> Any:
    def slowly(*arguments: Any) -> Any:
        time.sleep(seconds)
        return run(*arguments)

    return slowly


def _free_claims_after(seconds: float) -> None:
    if not seconds:
        return
    from dlcli.sweeps import heartbeat

    times = {"beat_seconds": seconds / 8, "stale_seconds": seconds}
    heartbeat.DatabaseClaims = functools.partial(heartbeat.DatabaseClaims, **times)  # type: ignore[assignment,misc]


def _change_files(log: str, *, is_synced: bool) -> None:
    from dlcli.runs import recorder

    if not is_synced:
        os.fsync = lambda _: None  # type: ignore[assignment]
    if not log:
        return
    write_row, path = recorder.append_row, os.path.abspath(log)

    def write_both(folder: Path, row: Any, *, is_first: bool) -> None:
        with open(path, "a") as file:
            file.write(f"{folder.name} {row['epoch']} {os.getpid()}\n")
        write_row(folder, row, is_first=is_first)

    recorder.append_row = write_both


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[1]))
    _serve()
