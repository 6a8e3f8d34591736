"""Deleted working folders, file names that are not UTF-8, and limits on memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcli.cli.ending import find_memory_shortage
from dlcli.errors import DeviceError

STRANGE = os.fsdecode(b"caf\xe9")  # Latin-1, not valid UTF-8


def run_shell(script: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which the command `dlcli` is this checkout."""
    script = f'dlcli() {{ "{sys.executable}" -m dlcli "$@"; }}\n{script}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("command", ["--help", "config list", "train -c digits", "runs list", "eval"])
def test_deleted_working_folder_exits_with_2(clean_place: Path, command: str) -> None:
    done = run_shell(f"mkdir gone; cd gone; rmdir ../gone; dlcli {command}")
    message = "error: cannot use the working folder: no such file or directory\n\nhint: change to an existing folder\n"
    assert (done.returncode, done.stdout, done.stderr.removeprefix("shell-init")) == (2, "", message)


@pytest.mark.parametrize("kibibytes", [200_000, 1_500_000])
def test_too_little_memory_for_torch_exits_with_4(clean_place: Path, kibibytes: int) -> None:
    done = run_shell(f"ulimit -v {kibibytes}; dlcli train -c digits")
    assert done.returncode == 4, done
    assert done.stderr.startswith("error: the limit on this process's memory is too low to load torch\n\nhint: ")
    assert list(clean_place.iterdir()) == []
    assert run_shell(f"ulimit -v {kibibytes}; dlcli config list").returncode == 0, "config list needs no torch"


@pytest.mark.long
@pytest.mark.parametrize("kibibytes", range(500_000, 6_000_001, 250_000))
def test_any_memory_limit_is_enough_or_exits_with_4(clean_place: Path, kibibytes: int) -> None:
    done = run_shell(f"ulimit -v {kibibytes}; dlcli train -c digits training.epochs=1 --eval -q")
    assert done.returncode in (0, 4), done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_memory_shortage_becomes_a_device_error(error: Exception) -> None:
    assert isinstance(find_memory_shortage(error), DeviceError)
    wrapped = ImportError("numpy could not be imported")
    wrapped.__cause__ = error
    assert isinstance(find_memory_shortage(wrapped), DeviceError)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name 'x'", name="dlcli.api"),
        ImportError("cannot allocate memory", name="dlcli.api"),
        ZeroDivisionError(),
        OSError(2, "No such file"),
        RuntimeError("a bug"),
    ],
)
def test_bugs_are_not_reported_as_memory_shortage(error: Exception) -> None:
    assert find_memory_shortage(error) is None


def test_names_that_are_not_utf_8_are_shown_escaped(clean_place: Path) -> None:
    place = clean_place / STRANGE
    place.mkdir()
    script = (
        f"dlcli config init -o {STRANGE}.yaml && dlcli config show {STRANGE}.yaml && dlcli config validate "
        f"{STRANGE}.yaml && dlcli config schema -o {STRANGE}.json && dlcli config diff digits {STRANGE}.yaml"
    )
    done = run_shell(script, cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrote caf\\udce9.yaml" in done.stdout
    missing = run_shell(f"dlcli train -c no{STRANGE}", cwd=place)
    assert missing.returncode == 2
    assert "'nocaf\\udce9'" in missing.stderr
