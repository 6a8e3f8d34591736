"""Fixtures: a clean place to run in, the command line in and out of this process, the real Fashion-MNIST."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from faults.forge import Forge

from dlcli.cli import main

CHECKOUT = Path(__file__).parents[1]
SHARED_DATA = CHECKOUT.parent / "shared" / "data"


class Finished(NamedTuple):
    code: int
    out: str
    err: str


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` shares the tests among: none for one file, or where a file is rewritten."""
    one_file = len(config.args) == 1 and ".py" in config.args[0]
    return 0 if one_file or "DLCLI_UPDATE_SNAPSHOTS" in os.environ else min(4, os.cpu_count() or 1)


@pytest.fixture(scope="session", autouse=True)
def heed_signals() -> None:
    """Processes that tests start heed signals, though the suite may not, under nohup or in a script's background."""
    for one in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(one) == signal.SIG_IGN:
            signal.signal(one, lambda *_: None)  # a process that is started is told to ignore what its parent ignores


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder, with an empty cache and no say of the caller's terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("DLCLI_RUNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def dlcli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Run a command line in this process: as in a shell, but without three seconds of `import torch`."""

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["dlcli", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capsys.readouterr()
        return Finished(code, out, err)

    return run


def run_process(arguments: Sequence[str], **options: object) -> Finished:
    """Run `python -m dlcli` in a process of its own, both outputs piped."""
    command = [sys.executable, "-m", "dlcli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Processes of dlcli at a tenth of a second each."""
    with Forge() as forge:
        yield forge


@pytest.fixture
def fashion_root() -> Path:
    """The real Fashion-MNIST, where this machine has it."""
    root = Path(os.environ.get("DLCLI_TEST_FASHION_MNIST", SHARED_DATA))
    if not (root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(f"needs the real Fashion-MNIST in {root} (or $DLCLI_TEST_FASHION_MNIST)")
    return root
