"""Launch of several processes on one machine that train a model together, by torch's own launcher."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from dlcli.config.schema import Config
from dlcli.errors import Interrupted, LostProcess, RemoteError, SilentProcess
from dlcli.programs import programs_allowed
from dlcli.ranks import Rank
from dlcli.signals import LAUNCHED
from dlcli.training.rank_messages import check_batch_size, check_world
from dlcli.training.threads import machine_cores

_SIGNALS = [signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
_HERE = "127.0.0.1"  # the host name may be unknown, or stand for an address in another network


def count_processes() -> int:
    """Return the number of processes that this machine has room for: one per GPU, otherwise one per core."""
    return torch.cuda.device_count() or machine_cores()


def check_processes(config: Config, count: int) -> None:
    """Check that several processes of this machine can train a config.

    Raises:
        UsageError: If the config does not fit the number of processes.
    """
    check_world(config, Rank(0, count, 0, count))
    if isinstance(config.training.batch_size, int):
        check_batch_size(config.training.batch_size, count)


def launch(arguments: Sequence[str], count: int, hint: Callable[[], str]) -> None:
    """Run `dlcli` in several processes until all of them have ended; they share the output of this process.

    Args:
        arguments: Arguments of `dlcli`.
        count: Number of processes.
        hint: Returns the hint of the error after a process was killed.

    Raises:
        RemoteError: If a process fails; contains the error of the first process that failed.
        Interrupted: After a signal to this process, which passes it on to the others.
    """
    with _error_files() as files, _launching():
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint=f"{_HERE}:0",
            max_restarts=0,
            local_addr=_HERE,
            logs_specs=files,
            **_signals_to_pass_on(),
        )
        try:
            elastic_launch(settings, sys.executable)("-m", "dlcli", *arguments)
        except ChildFailedError as error:
            raise _first_error(error.failures, count, hint()) from error
        except SignalException as stop:
            raise _interruption(stop.sigval, files.path(0)) from stop


class _ErrorFiles(LogsSpecs):
    """Error files of the processes; each is written if its process fails, and deleted at the end of the launch."""

    def __init__(self) -> None:
        super().__init__()
        self._start = Path(tempfile.gettempdir(), f"dlcli-{uuid.uuid4().hex}")
        self._count = 0

    def path(self, rank: int) -> Path:
        """Return the error file of a process."""
        return self._start.with_name(f"{self._start.name}-{rank}.json")

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Set the error file of each process in its environment; the output is not redirected."""
        self._count = len(envs)
        error_files = {rank: str(self.path(rank)) for rank in envs}
        for rank, variables in envs.items():
            variables["TORCHELASTIC_ERROR_FILE"] = error_files[rank]
        here = dict.fromkeys(envs, "")
        return LogsDest(stdouts=here, stderrs=here, tee_stdouts=here, tee_stderrs=here, error_files=error_files)

    @property
    def root_log_dir(self) -> str:
        """Folder of the files."""
        return str(self._start.parent)

    def delete(self) -> None:
        """Delete the files that exist."""
        for rank in range(self._count):
            self.path(rank).unlink(missing_ok=True)


@contextmanager
def _error_files() -> Iterator[_ErrorFiles]:
    files = _ErrorFiles()
    try:
        yield files
    finally:
        files.delete()


def _signals_to_pass_on() -> dict[str, Any]:
    """Return the setting of torch's launcher for the signals that it passes on: all that nohup has not disabled."""
    names = ",".join(signum.name for signum in _SIGNALS if signal.getsignal(signum) != signal.SIG_IGN)
    name = "signals_to_handle"  # older versions of torch do not have it
    return {name: names} if name in {field.name for field in fields(LaunchConfig)} else {}


@contextmanager
def _launching() -> Iterator[None]:
    """Mark processes started in the block as launched by this process.

    Logging is off in the block, so that only the errors of these processes are shown.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    os.environ[LAUNCHED] = str(os.getpid())
    try:
        with programs_allowed():
            yield
    finally:
        del os.environ[LAUNCHED]
        logging.disable(before)


def _first_error(failures: Mapping[int, ProcessFailure], count: int, hint: str) -> RemoteError:
    """Return the error that ended all processes.

    After this error, the other processes lose a connection, or the launcher ends them: with SIGTERM, and with SIGKILL
    if they did not answer in time.
    """
    errors = {rank: _describe_failure(rank, failure, count, hint) for rank, failure in failures.items()}
    ends = {-signal.SIGTERM, 128 + signal.SIGTERM}
    if any(error.kind == SilentProcess.kind for error in errors.values()):
        ends.add(-signal.SIGKILL)

    def order(rank: int) -> tuple[bool, int, int]:
        failure = failures[rank]
        is_ended = failure.exitcode in ends and "dlcli" not in failure.error_file_data
        return is_ended or errors[rank].kind == LostProcess.kind, failure.timestamp, rank

    return errors[min(errors, key=order)]


def _describe_failure(rank: int, failure: ProcessFailure, count: int, hint: str) -> RemoteError:
    if "dlcli" in failure.error_file_data:
        return RemoteError(failure.error_file_data["dlcli"])
    code, reason = failure.exitcode, f"ended with exit code {failure.exitcode}"
    if code < 0:
        code, reason = 128 - code, f"was ended by signal {-code} ({failure.signal_name()})"
    message = f"process {rank} of {count} {reason}"
    return RemoteError({"code": code, "kind": "process", "message": message, "place": None, "hints": [hint]})


def _interruption(signum: int, error_file: Path) -> RemoteError | Interrupted:
    """Return the error of the first process about the interruption, or `Interrupted` if it had not begun to train."""
    with suppress(OSError):
        record: dict[str, Any] = json.loads(error_file.read_text(encoding="utf-8"))
        return RemoteError(record["dlcli"])
    return Interrupted("interrupted", signum=signal.Signals(signum))
