"""Commands with outputs that cannot be written: the work is done, the exit code is right, no traceback is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import run_process
from faults.forge import Forge
from faults.outcome import SETTINGS
from faults.outputs import OUTPUTS

FULL = "No space left on device"


class Command(NamedTuple):
    """A command line, whether its result is also stored in files, and its exit code."""

    arguments: str
    is_kept: bool = False
    code: int = 0


# `{}` stands for an unused file name.
WITHOUT_TORCH = [
    Command("--help"),
    Command("--version"),
    Command("config list"),
    Command("config show digits"),
    Command("config init"),
    Command("config init -o {}.yaml", is_kept=True),
    Command("config validate digits"),
    Command("config validate nothing.yaml", code=2),
    Command("config schema"),
    Command("config schema -o {}.json", is_kept=True),
    Command("config explain optimizer.lr"),
    Command("config diff digits moons"),
    Command("data list"),
    Command("runs list --json"),
    Command("runs show run"),
    Command("runs compare run run"),
    Command("runs compare run run --format csv"),
    Command("study"),
]
WITH_TORCH = [
    Command("train -c digits training.epochs=1 --run-dir {}", is_kept=True),
    Command("train -c digits --dry-run"),
    Command("train --resume run --eval --json", is_kept=True),
    Command("verify run"),
    Command("eval run --json"),
    Command("eval run --fail-under accuracy=0.9999", code=6),
    Command("predict run"),
    Command("plot run loss", is_kept=True),
    Command("plot run --list"),
    Command("report run -o {}.html", is_kept=True),
    Command("runs show run --diagnose"),
    Command("runs compare run run --html {}.html", is_kept=True),
    Command("gradcheck -c digits"),
    Command("explain -c digits"),
    Command("bench -c digits --rounds 1"),
    Command("study batch-size --seeds 2 training.epochs=1 -o {}", is_kept=True),
    Command("data check digits"),
    Command("export run --format safetensors -o {}", is_kept=True),
]
FEW = {"both full": (0, 4, 5), "stdout full": (2, 7), "both closed": (0,), "ascii": (12, 13)}  # indices of WITH_TORCH


@pytest.fixture(scope="module")
def place(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run."""
    folder = tmp_path_factory.mktemp("outputs")
    assert forge.run("train", "-c", "digits", *SETTINGS, "--run-dir", "run", folder=folder).code == 0
    return folder


def check(forge: Forge, place: Path, command: Command, kind: str) -> None:
    name = f"new{len(list(place.iterdir()))}"
    arguments = command.arguments.format(name).split()
    ended = forge.run(*arguments, folder=place, fault={"outputs": kind})
    is_lost = kind in ("stdout full", "both full") and not command.is_kept and command.code == 0
    assert (ended.code, "Traceback" in ended.err) == (3 if is_lost else command.code, False), (kind, ended)
    if kind == "stdout full" and command.code == 0:
        message = "note: cannot write to stdout" if command.is_kept else "error: cannot write the result to stdout"
        assert f"{message}: {FULL}" in ended.err
    if kind in ("cp1252", "ascii") and command.code == 0:
        assert (place / "out").read_bytes().decode(kind)
    if "{}" in command.arguments:
        assert list(place.glob(f"{name}*")), "the command must create its file"
    if arguments[0] == "train" and name in arguments:
        summary = json.loads((place / name / "summary.json").read_text())
        assert summary["status"] == "finished"
        assert set(summary.get("output_errors", ())) == expected_errors(kind)


def expected_errors(kind: str) -> set[str]:
    which, _, fault = kind.partition(" ")
    return set() if not fault else {"stdout", "stderr"} if which == "both" else {which}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_commands_without_torch(forge: Forge, place: Path, kind: str) -> None:
    for command in WITHOUT_TORCH:
        check(forge, place, command, kind)


@pytest.mark.parametrize("kind", FEW)
def test_some_commands_with_torch(forge: Forge, place: Path, kind: str) -> None:
    for number in FEW[kind]:
        check(forge, place, WITH_TORCH[number], kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("command", WITH_TORCH, ids=lambda command: command.arguments)
def test_every_command_with_torch(forge: Forge, place: Path, command: Command, kind: str) -> None:
    check(forge, place, command, kind)


def test_training_continues_if_its_log_reaches_a_size_limit(clean_place: Path) -> None:
    """A limit on the file size stops the log after some epochs, but not the files of the run."""
    blocks, log = 10_240, clean_place / "log"
    log.touch()
    os.truncate(log, blocks * 1024 - 600)
    command = f'ulimit -f {blocks}; "$0" -m dlcli train -c digits training.epochs=20 --run-dir run 2>>log'
    done = subprocess.run(["bash", "-c", command, sys.executable], capture_output=True, text=True, timeout=120)
    assert (done.returncode, log.stat().st_size) == (0, blocks * 1024)
    assert done.stdout.startswith("run       run\nbest      epoch")
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["epochs"], summary["output_errors"]) == (20, {"stderr": "File too large"})


def test_training_continues_if_the_reader_of_its_output_exits(clean_place: Path) -> None:
    command = [sys.executable, "-m", "dlcli", "train", "-c", "digits", "--run-dir", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch  1/40"):
                break
        process.stderr.close()
        assert process.stdout is not None
        assert process.stdout.read().startswith("run       run\n")
    assert process.returncode == 0
    summary = json.loads(Path("run/summary.json").read_text())
    assert (summary["epochs"], summary["output_errors"]) == (40, {"stderr": "closed pipe"})


def test_exit_code_is_kept_if_the_error_message_cannot_be_written(clean_place: Path) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "dlcli", "train", "-c", "digits", "optimizer.lr=-1"]
        assert subprocess.run(command, stdout=full, stderr=full).returncode == 2
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m dlcli train -c digits optimizer.lr=-1 >&- 2>&-"])
    assert done.returncode == 2


def test_symbols_are_spelled_out_in_an_ascii_locale(clean_place: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run_process(["config", "explain", "model.activation"], env=environment)
    assert (done.code, done.err) == (0, "")
    assert "sigma(z)" in done.out
