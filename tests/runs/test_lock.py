from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from dlcli.errors import DataError, UsageError
from dlcli.runs import lock
from dlcli.runs.lock import LOCK, OWNER, owned


def test_the_second_is_told_who_has_it_and_the_lock_ends_with_its_holder(clean_place: Path) -> None:
    with owned(clean_place):
        expected = f"is being trained by process {os.getpid()} on {platform.node()} since 20"
        with pytest.raises(UsageError, match=expected), owned(clean_place):
            pytest.fail("there are two")
    with owned(clean_place):
        assert json.loads((clean_place / OWNER).read_text())["pid"] == os.getpid()


def test_an_owner_who_is_dead_is_not_named(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_OWNER_SECONDS", 0.1)
    with owned(clean_place):
        (clean_place / OWNER).write_text(json.dumps({"pid": 2**22 + 1, "host": platform.node()}))
        with pytest.raises(UsageError, match="is being trained by another process"), owned(clean_place):
            pytest.fail("there are two")


def test_where_no_folder_can_be_it_is_told(clean_place: Path) -> None:
    (clean_place / "file").touch()
    with pytest.raises(DataError, match=r"cannot write to .*file: "), owned(clean_place / "file"):
        pytest.fail("there is none")


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_file_system_without_locks_is_named(clean_place: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    number = getattr(errno, code)

    def flock(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(DataError, match="its file system has no file locks") as caught, owned(clean_place):
        pytest.fail("it is not locked")
    assert "`--run-dir DIR`" in str(caught.value.hint)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("precious")])
def test_a_lock_that_is_no_regular_file_is_refused(clean_place: Path, make: Callable[[Path], None]) -> None:
    (clean_place / "precious").write_text("mine")
    make(clean_place / LOCK)
    with pytest.raises(DataError, match="cannot write to"), owned(clean_place):
        pytest.fail("it is not locked")
    assert (clean_place / "precious").read_text() == "mine"
