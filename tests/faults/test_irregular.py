"""Tests of pipes, sockets, devices, folders and links in place of files of a run: no command blocks."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest
from conftest import Finished

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.runs import recorder

SECONDS = 20.0  # limit per command, for a busy machine
Dlcli = Callable[..., Finished]
NAMES = [
    *("manifest.json", "summary.json", "resolved.yaml", "config.yaml", "metrics.jsonl", "metrics.csv", "trace.jsonl"),
    *(
        "baselines.json",
        "evaluation.json",
        "report.html",
        "plots",
        "plots/loss.png",
        ".lock",
        ".owner.json",
        "checkpoints",
    ),
    *(f"checkpoints/{name}.safetensors" for name in ("best", "best-previous", "last", "previous")),
    *(f"checkpoints/.{name}.safetensors.tmp" for name in ("best", "last")),
    *(f".{name}.tmp" for name in ("manifest.json", "summary.json", "resolved.yaml", "metrics.jsonl", ".owner.json")),
    *(".baselines.json.tmp", ".report.html.tmp"),
]
COMMANDS = [
    ["train", "--resume", "run", "training.epochs=4"],
    ["verify", "run"],
    ["report", "run"],
    ["eval", "run"],
    ["train", "--resume", "run", "--eval"],
    ["plot", "run", "loss"],
    ["runs", "show", "run", "--diagnose"],
    ["eval", "run", "--checkpoint", "last"],
    ["predict", "run"],
    ["export", "run", "--format", "safetensors"],
    ["runs", "compare", "run", "whole"],
    ["runs", "show", "run"],
    ["runs", "list"],
]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix_socket:
        unix_socket.bind(os.path.relpath(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    (path / "inner").mkdir(parents=True)


def link_out(path: Path) -> None:
    path.symlink_to(Path("precious").resolve())


def link_to_nothing(path: Path) -> None:
    path.symlink_to(Path("nothing").resolve())


def link_to_a_pipe(path: Path) -> None:
    with suppress(FileExistsError):
        os.mkfifo("pipe")
    path.symlink_to(Path("pipe").resolve())


KINDS = [pipe, bound_socket, device, folder, link_out, link_to_nothing, link_to_a_pipe]


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Fail after `seconds`, even within a blocking call."""

    def fail(_signum: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"the command takes more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def put(kind: Callable[[Path], None], path: Path) -> None:
    """Replace a file by something else."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    kind(path)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stride", [24, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_command_blocks_or_writes_through_a_link(
    dlcli: Dlcli, clean_place: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Path], None], stride: int
) -> None:
    """Replace every file and run some of the commands; the long test runs all commands."""
    monkeypatch.setattr(recorder, "SAVE_SECONDS", 0.0)
    settings = ["model.hidden_sizes=[3]", "training={epochs: 3, batch_size: 400}", "scheduler=null"]
    train(load_config("moons", settings), run_dir=Path("whole"))
    Path("precious").write_text("mine")
    start = KINDS.index(kind)
    tried = 0
    for number, name in enumerate(NAMES):
        for command in itertools.islice(COMMANDS, (start + number) % stride, None, stride):
            shutil.copytree("whole", "run")
            put(kind, Path("run") / name)
            with limit(SECONDS):
                done = dlcli(*command)
            case = (name, command, done)
            assert done.code in (0, 2, 3, 6), case
            assert "Traceback" not in done.err, case
            assert done.code == 0 or "error: " in done.err, case
            assert Path("precious").read_text() == "mine", case
            assert not Path("nothing").exists(), case
            shutil.rmtree("run")
            tried += 1
    assert tried >= len(NAMES) * len(COMMANDS) // stride
