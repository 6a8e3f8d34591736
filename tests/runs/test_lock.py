from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from dlcli.errors import DataError, UsageError
from dlcli.runs import lock
from dlcli.runs.lock import LOCK, OWNER, lock_run


def test_a_second_lock_reports_the_owner_and_the_lock_is_released(clean_place: Path) -> None:
    with lock_run(clean_place):
        expected = f"is being trained by process {os.getpid()} on {platform.node()} since 20"
        with pytest.raises(UsageError, match=expected), lock_run(clean_place):
            pytest.fail("both processes hold the lock")
    with lock_run(clean_place):
        assert json.loads((clean_place / OWNER).read_text())["pid"] == os.getpid()


def test_a_dead_owner_is_not_reported(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_OWNER_SECONDS", 0.1)
    with lock_run(clean_place):
        (clean_place / OWNER).write_text(json.dumps({"pid": 2**22 + 1, "host": platform.node()}))
        with pytest.raises(UsageError, match="is being trained by another process"), lock_run(clean_place):
            pytest.fail("both processes hold the lock")


def test_locking_a_path_that_is_not_a_folder_fails(clean_place: Path) -> None:
    (clean_place / "file").touch()
    with pytest.raises(DataError, match=r"cannot write to .*file: "), lock_run(clean_place / "file"):
        pytest.fail("a file was locked as a folder")


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_locks_is_reported(clean_place: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    number = getattr(errno, code)

    def flock(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DataError, match="its file system has no file locks") as caught, lock_run(clean_place):
        pytest.fail("the lock is not held")
    assert "`--run-dir DIR`" in str(caught.value.hint)


def test_a_forked_process_does_not_keep_the_lock_of_a_killed_one(clean_place: Path) -> None:
    (started, starting), (held, holding) = os.pipe(), os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, since Python 3.12
        pid = os.fork()
        if pid == 0:
            with lock_run(clean_place):
                if os.fork() == 0:
                    os.close(holding)
                    os.write(starting, b"!")
                    os.read(held, 1)  # until the test closes its end
                    os._exit(0)
                os.read(started, 1)
                os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    with lock_run(clean_place):
        pass
    for descriptor in (started, starting, held, holding):
        os.close(descriptor)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("precious")])
def test_a_lock_that_is_not_a_regular_file_is_rejected(clean_place: Path, make: Callable[[Path], None]) -> None:
    (clean_place / "precious").write_text("mine")
    make(clean_place / LOCK)
    with pytest.raises(DataError, match="cannot write to"), lock_run(clean_place):
        pytest.fail("the lock is not held")
    assert (clean_place / "precious").read_text() == "mine"
