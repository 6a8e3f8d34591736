"""Place of this process among the processes that a launcher started to train one model together.

torchrun and similar launchers describe the place in environment variables, see
https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import UsageError
from dlcli.signals import LAUNCHED, call_before_exit, request_stop

_UNNAMED = "none"  # run id of torchrun without --rdzv-id
_WATCH_SECONDS, _LAST_SECONDS = 0.2, 2.0
_launchers: list[int] = []  # process that started this one, at most one


class Rank(NamedTuple):
    """Place of this process among all processes.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number of this process on its machine, from 0.
        local_size: Number of processes on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run and prints."""
        return self.rank == 0


def read_rank() -> Rank:
    """Return the place of this process; RANK is ignored without WORLD_SIZE.

    Raises:
        UsageError: If the variables are not valid.
    """
    if (os.environ.get("WORLD_SIZE") or "1") == "1":
        return Rank()
    size, rank = _read("WORLD_SIZE", None), _read("RANK", None)
    place = Rank(rank, size, _read("LOCAL_RANK", 0), _read("LOCAL_WORLD_SIZE", 1))
    if not (0 <= rank < size and 0 <= place.local_rank < place.local_size <= size):
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        values = ", ".join(f"{name} is {value}" for name, value in zip(names, place, strict=True))
        hint = "start the processes with torchrun, or unset WORLD_SIZE to train in one process"
        raise UsageError(f"the variables of the environment contradict each other: {values}", hint=hint)
    return place


def _read(name: str, default: int | None) -> int:
    """Return the whole number in an environment variable.

    Raises:
        UsageError: If the variable is missing and has no default, or is not a whole number.
    """
    text = os.environ.get(name) or ("" if default is None else str(default))
    if not text.isdecimal():
        problem = f"{name} is {text!r}, which is no whole number" if text else f"WORLD_SIZE is set, and {name} is not"
        hint = "start the processes with torchrun, or unset WORLD_SIZE to train in one process"
        raise UsageError(f"the environment does not describe a process: {problem}", hint=hint)
    return int(text)


def launch_id() -> str | None:
    """Return an identifier of this launch that survives a restart; None if nobody looks for its run."""
    if LAUNCHED in os.environ:
        return name_launch(int(os.environ[LAUNCHED]))
    if not has_restarts():
        return None
    name = os.environ.get("TORCHELASTIC_RUN_ID", _UNNAMED)
    return name_launch(os.getppid()) if name == _UNNAMED else name


def has_restarts() -> bool:
    """Return whether torchrun starts this process again after an error (`--max-restarts`)."""
    return os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"


def name_launch(launcher: int) -> str:
    """Return an identifier of a launcher on this machine, by its process id."""
    import platform

    with suppress(OSError, IndexError):  # only Linux has this file, with the time at which the launcher started
        started = Path(f"/proc/{launcher}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{platform.node()}-{launcher}-{started}"
    return f"{platform.node()}-{launcher}"


def resume_hint(run: str) -> str:
    """Return a hint that names the command to resume a run on as many processes as train it now.

    Args:
        run: Name or folder of the run, as a shell argument.
    """
    place = read_rank()
    if not place.is_alone and LAUNCHED not in os.environ:
        return f"start the same processes with `--resume {run}` in place of the config to continue from there"
    processes = "" if place.is_alone else f" --processes {place.size}"
    return f"`dlcli train --resume {run}{processes}` continues from there"


def add_processes(command: Sequence[str]) -> list[str]:
    """Return the command of one of several processes with the option `--processes` that its launcher has removed."""
    if LAUNCHED not in os.environ or read_rank().is_alone:
        return list(command)
    return [*command, "--processes", str(read_rank().size)]


def end_launch() -> None:
    """Keep torchrun from starting the processes of this machine again; do nothing if it would not, or has ended."""
    if has_restarts() and os.getppid() in _launchers:
        os.kill(os.getppid(), signal.SIGTERM)


def is_launcher_waiting() -> bool:
    """Return whether `dlcli train --processes` has started this process and waits for it to end."""
    return os.environ.get(LAUNCHED) == str(os.getppid())


def end_with_launcher() -> None:
    """Save the run and end this process as soon as the process that started it has ended for any reason.

    A thread watches the other process. PR_SET_PDEATHSIG of Linux would not end a main thread that waits for other
    processes in a call of torch, and sends its signal again for each thread of the other process that ends.
    """
    launcher = int(os.environ.get(LAUNCHED, os.getppid()))
    _launchers[:] = [launcher]
    # torchrun ends the processes with SIGTERM before it restarts them, so only other signals ask to end the launch.
    call_before_exit(lambda signum: None if signum == signal.SIGTERM else end_launch())
    threading.Thread(target=_watch, args=(launcher,), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_WATCH_SECONDS)
    if not request_stop(signal.SIGTERM):
        time.sleep(_LAST_SECONDS)  # for the messages of a training that another process has just stopped
        os._exit(128 + signal.SIGTERM)  # a main thread that waits for other processes would run no handler
