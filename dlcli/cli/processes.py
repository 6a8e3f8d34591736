"""Training in several processes: start of the processes, and rejection of options that they do not support."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.cli.arguments import print_notes
from dlcli.cli.output import note_printed_json, open_listeners
from dlcli.cli.voice import note_launch
from dlcli.config.paths import as_argument
from dlcli.errors import CheckFailed, RemoteError, UsageError
from dlcli.ranks import end_with_launcher, name_launch, read_rank
from dlcli.reporters.base import Progress
from dlcli.signals import StopSignals

if TYPE_CHECKING:
    from dlcli.config.schema import Config
    from dlcli.training.listeners import Listeners

_MOST_PROCESSES = 4096
_SHARING = ("train", "verify")  # commands that run in several processes


def require_one_process(command: str | None) -> None:
    """Check that a command was not started in several processes unless it supports them.

    Raises:
        UsageError: If the command does not support several processes but was started in them.
    """
    if command not in _SHARING and not (place := read_rank()).is_alone:
        message = f"dlcli {command} runs in one process, and the environment describes {place.size} (WORLD_SIZE)"
        raise UsageError(
            message,
            hint=f"run `dlcli {command}` without torchrun; only `dlcli train` and `dlcli verify` share their work",
        )


def reject_with_processes(given: Mapping[str, bool], *, is_started: bool, processes: str | None = None) -> None:
    """Reject options that cannot be combined with several processes.

    Args:
        given: Whether each option is given, by its name.
        is_started: Whether this is one of several processes that torchrun has started.
        processes: The option `--processes` of such a process.

    Raises:
        UsageError: If an option is given.
    """
    if is_started and processes is not None:
        message = f"--processes cannot be used in one of {read_rank().size} processes that are already started"
        raise UsageError(message, hint="leave out --processes, or run dlcli without torchrun")
    hint = "run dlcli without torchrun" if is_started else "leave out --processes"
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} cannot be combined with several processes", hint=hint)


@contextmanager
def open_rank_listeners(progress: Progress, *, quiet: bool) -> Iterator[Listeners]:
    """Yield the listeners of one process of several; it stops if its launcher ends.

    Only the first process shows progress; the first process of each other machine prints notes.
    """
    hide_warnings_of_torch()
    end_with_launcher()
    place, signals = read_rank(), StopSignals(is_patient=True)
    progress = progress if place.is_first else "none"
    with open_listeners(progress, quiet=quiet or not place.is_first, signals=signals) as listeners:
        prints_notes = place.local_rank == 0 and not quiet  # one process of each machine notes what it waits for
        yield listeners if place.is_first or not prints_notes else replace(listeners, notify=_print_note)


def _print_note(text: str) -> None:
    print_notes([text])


def run_in_processes(processes: str, config: Config, resumed: Path | None, run_dir: Path | None) -> bool:
    """Run this command in several processes and return True; if one process is enough, only return False.

    Args:
        processes: Number of processes, or auto.
        config: Config to train.
        resumed: Folder of the run to resume; None for a new run.
        run_dir: Folder of a new run; None is a new folder in the runs folder.

    Raises:
        UsageError: If the number is not valid.
        DlcliError: The error that ended the processes.
    """
    if processes != "auto" and not (processes.isdecimal() and 1 <= int(processes) <= _MOST_PROCESSES):
        message = f"--processes must be auto, or a number from 1 to {_MOST_PROCESSES}. Got {processes!r} instead"
        raise UsageError(message, hint="write it like --processes 2")
    if processes == "1":
        return False
    hide_warnings_of_torch()
    from dlcli.api.launch import count_processes

    count = count_processes() if processes == "auto" else int(processes)
    if count > 1:
        start_processes(
            _without_processes(sys.argv[1:]), count, config, partial(_describe_next, resumed, run_dir, count)
        )
    return count > 1


def _describe_next(resumed: Path | None, run_dir: Path | None, count: int) -> str:
    """Return the command to type after a process of this launch was killed."""
    from dlcli.runs.find import find_launched

    begun = None if resumed else find_launched(name_launch(os.getpid()), run_dir)
    folder = begun.path if begun else resumed
    if folder is None:
        return "the run had not begun: start the same command again"
    return f"continue with `dlcli train --resume {as_argument(str(folder))} --processes {count}`"


def hide_warnings_of_torch() -> None:
    """Hide the warnings of torch about each lost connection, if it is not loaded yet."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def start_processes(arguments: Sequence[str], count: int, config: Config, hint: Callable[[], str]) -> None:
    """Run `dlcli` in several processes until all of them have ended.

    Args:
        arguments: Arguments of `dlcli`.
        count: Number of processes.
        config: Config that they train.
        hint: Returns the hint of the error after a process was killed.

    Raises:
        UsageError: If the config does not fit the number of processes.
        DlcliError: The error that ended the processes.
    """
    from dlcli.api.launch import check_processes, launch

    check_processes(config, count)
    note_launch()
    try:
        launch(arguments, count, hint)
    except RemoteError as error:
        if error.kind == CheckFailed.kind:
            note_printed_json()  # the first process has printed its result with the failure
        raise


def _without_processes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without the option `--processes`."""
    at = next(place for place, argument in enumerate(arguments) if argument.partition("=")[0] == "--processes")
    return [*arguments[:at], *arguments[at + 1 + ("=" not in arguments[at]) :]]
