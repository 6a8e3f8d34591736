"""Working folders that are gone, names that are no UTF-8, and too little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcli.cli.ending import name_shortage
from dlcli.errors import DeviceError

STRANGE = os.fsdecode(b"caf\xe9")  # Latin-1: no UTF-8


def run_shell(script: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which `dlcli` is dlcli."""
    script = f'dlcli() {{ "{sys.executable}" -m dlcli "$@"; }}\n{script}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("command", ["--help", "config list", "train -c digits", "runs list", "eval"])
def test_a_working_folder_that_is_gone_is_exit_2(clean_place: Path, command: str) -> None:
    done = run_shell(f"mkdir gone; cd gone; rmdir ../gone; dlcli {command}")
    told = "error: cannot use the working folder: no such file or directory\n\nhint: change to a folder that is there\n"
    assert (done.returncode, done.stdout, done.stderr.removeprefix("shell-init")) == (2, "", told)


@pytest.mark.parametrize("kibibytes", [200_000, 1_500_000])
def test_too_little_memory_for_torch_is_exit_4(clean_place: Path, kibibytes: int) -> None:
    done = run_shell(f"ulimit -v {kibibytes}; dlcli train -c digits")
    assert done.returncode == 4, done
    assert done.stderr.startswith("error: the limit on this process's memory is too low to load torch\n\nhint: ")
    assert list(clean_place.iterdir()) == []
    assert run_shell(f"ulimit -v {kibibytes}; dlcli config list").returncode == 0, "which needs no torch"


@pytest.mark.long
@pytest.mark.parametrize("kibibytes", range(500_000, 6_000_001, 250_000))
def test_any_limit_on_memory_is_enough_or_exit_4(clean_place: Path, kibibytes: int) -> None:
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
def test_what_says_that_memory_is_short_is_exit_4(error: Exception) -> None:
    assert isinstance(name_shortage(error), DeviceError)
    wrapped = ImportError("numpy could not be imported")
    wrapped.__cause__ = error
    assert isinstance(name_shortage(wrapped), DeviceError)


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
def test_a_bug_of_ours_is_not_taken_for_it(error: Exception) -> None:
    assert name_shortage(error) is None


def test_names_that_are_no_utf_8_are_shown_escaped(clean_place: Path) -> None:
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
