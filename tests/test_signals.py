from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from dlcli.signals import StopSignals


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
def test_first_signal_requests_a_stop_and_second_ends_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals()
    signals.install()
    assert signals.received is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("_handlers")
def test_initially_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals()
    signals.install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received is None
    signals.restore()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize(
    ("signum", "code", "options", "answer"),
    [
        (signal.SIGINT, 130, [], ""),
        (signal.SIGTERM, 143, ["--json"], '{"error": {"code": 143, "kind": "interrupted", "message": "interrupted", '),
    ],
)
def test_signal_during_the_torch_import_exits_without_traceback(
    signum: signal.Signals, code: int, options: list[str], answer: str
) -> None:
    command = [sys.executable, "-m", "dlcli", "train", "-c", "digits", "training.epochs=100000", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(0.8)
        process.send_signal(signum)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out.count("\n"), "Traceback" in err) == (code, len(options), False), err
    assert out.startswith(answer)
