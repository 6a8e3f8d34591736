from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from dlcli.cli.output import open_listeners
from dlcli.signals import StopSignals
from dlcli.training.events import GroupEnded, GroupProgress, GroupStarted, SweepStarted


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
def test_a_process_with_a_launcher_ignores_further_signals_and_keeps_the_first() -> None:
    signals = StopSignals(is_patient=True)
    signals.install()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        os.kill(os.getpid(), signum)
    assert signals.received == signal.SIGINT


@pytest.mark.usefixtures("_handlers")
def test_initially_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals()
    signals.install()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received is None
    signals.restore()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.usefixtures("_handlers")
def test_signals_between_the_groups_of_a_sweep_are_requests_to_stop() -> None:
    progress = GroupProgress(epochs=1, ended=2, diverged=0, loss=None, metric=None)
    with open_listeners("none", quiet=True) as listeners:
        listeners.listen(SweepStarted("sweeps/s", (), (), 3, 0))
        listeners.listen(GroupStarted("sweeps/s/confirm/best", (), (), 2, 4, "accuracy"))
        listeners.listen(GroupEnded(progress))
        os.kill(os.getpid(), signal.SIGTERM)
        assert listeners.should_stop is not None
        assert listeners.should_stop() == signal.SIGTERM


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
