"""Shared fixtures: an isolated working folder, the command line in and out of process, the real Fashion-MNIST."""

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
from dlcli.openmp import prepare_process

prepare_process()  # before torch is loaded: threads that spin by default take a third of the time of the suite

CHECKOUT = Path(__file__).parents[1]
SHARED_DATA = CHECKOUT.parent / "shared" / "data"


class Finished(NamedTuple):
    code: int
    out: str
    err: str


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of workers for `-n auto`: 0 for a single file or if snapshots are rewritten.

    One more than there are cores, because a quarter of the time tests wait for a disk, a browser or another process.
    """
    one_file = len(config.args) == 1 and ".py" in config.args[0]
    return 0 if one_file or "DLCLI_UPDATE_SNAPSHOTS" in os.environ else min(4, os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def heed_signals() -> None:
    """Make child processes handle signals even if the suite ignores them, as under nohup or in a background job."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # child processes inherit ignored signals, but no handlers


@pytest.fixture(autouse=True)
def clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in an empty folder, with an empty cache and default terminal settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("DLCLI_RUNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def dlcli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Return a function that runs a command line in this process, to avoid the 3 s of `import torch`."""

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
    """Run `python -m dlcli` in a separate process with both outputs piped."""
    command = [sys.executable, "-m", "dlcli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Yield a forge, which starts a dlcli process in a tenth of a second."""
    with Forge() as forge:
        yield forge


@pytest.fixture
def fashion_root() -> Path:
    """Return the folder of the real Fashion-MNIST; skip the test if it is missing."""
    root = Path(os.environ.get("DLCLI_TEST_FASHION_MNIST", SHARED_DATA))
    if not (root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(f"needs the real Fashion-MNIST in {root} (or $DLCLI_TEST_FASHION_MNIST)")
    return root
