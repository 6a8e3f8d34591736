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
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("_handlers")
def test_the_first_signal_is_a_wish_and_the_second_would_end_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = StopSignals()
    signals.take()
    assert signals.received is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    signals.give_back()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("_handlers")
def test_what_the_process_was_started_to_ignore_it_ignores() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals()
    signals.take()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received is None
    signals.give_back()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_torch_is_imported_a_signal_ends_it_without_a_traceback(signum: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "dlcli", "train", "-c", "digits", "training.epochs=100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(0.8)
        process.send_signal(signum)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, "Traceback" in err) == (code, "", False), err
