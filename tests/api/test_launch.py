"""Launch of several processes: the signals that it passes on, and the choice of the error that ended them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from dlcli.api.launch import _first_error, _signals_to_pass_on
from dlcli.errors import DataError, DlcliError, LostProcess, SilentProcess, full_record

LOST, SILENT, FULL = LostProcess("lost"), SilentProcess("silent"), DataError("the disk is full")


def failure(folder: Path, rank: int, code: int, error: DlcliError | None, seconds: int) -> ProcessFailure:
    """Return how a process ended, with its error file."""
    file = folder / f"{rank}.json"
    if error is not None:
        file.write_text(json.dumps({"message": "", "timestamp": seconds, "dlcli": full_record(error)}))
    found = ProcessFailure(rank, 1, code, str(file))
    found.timestamp = seconds
    return found


@pytest.mark.parametrize(
    ("first", "second", "code", "message"),
    [
        ((-9, None, 0), (4, LOST, 0), 137, "process 0 of 2 was ended by signal 9 (SIGKILL)"),
        ((4, SILENT, 5), (-9, None, 35), 4, "silent"),
        ((-9, None, 35), (4, SILENT, 5), 4, "silent"),
        ((3, FULL, 5), (4, LOST, 5), 3, "the disk is full"),
        ((4, SILENT, 9), (3, FULL, 5), 3, "the disk is full"),
        ((-15, None, 0), (1, None, 3), 1, "process 1 of 2 ended with exit code 1"),
    ],
)
def test_the_first_cause_is_told_and_not_its_consequences(
    tmp_path: Path,
    first: tuple[int, DlcliError | None, int],
    second: tuple[int, DlcliError | None, int],
    code: int,
    message: str,
) -> None:
    failures = {rank: failure(tmp_path, rank, *values) for rank, values in enumerate((first, second))}
    error = _first_error(failures, 2, "continue it")
    assert (error.exit_code, error.message) == (code, message)
    assert error.hint == ("continue it" if "process" in message else None)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="nohup needs SIGHUP")
def test_a_signal_that_is_ignored_is_not_passed_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert _signals_to_pass_on() == {"signals_to_handle": "SIGTERM,SIGINT,SIGQUIT"}
    finally:
        signal.signal(signal.SIGHUP, before)
