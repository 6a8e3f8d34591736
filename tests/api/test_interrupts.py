"""Ctrl-C in programs and notebooks that call dlcli: the run is saved at the current step."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.outcome import outcome

import dlcli
from dlcli.training.events import EpochEnded, Event
from dlcli.training.listeners import Listeners

SETTINGS = ["training.epochs=12", "model.hidden_sizes=[9]", "plots=never"]


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _default_sigint_handler() -> object:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("interrupt", [press_ctrl_c, raise_keyboard_interrupt])
def test_an_interrupted_run_is_saved_and_resumes_bit_identically(
    clean_place: Path, interrupt: Callable[[], None]
) -> None:
    loaded = dlcli.load_config("digits", SETTINGS)
    dlcli.train(loaded, run_dir=clean_place / "whole")

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.epoch == 9:
            interrupt()

    with pytest.raises(KeyboardInterrupt, match=r"interrupted after epoch 9 of 12; saved .*--resume"):
        dlcli.train(loaded, run_dir=clean_place / "run", listeners=Listeners(listen))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    summary = json.loads((clean_place / "run" / "summary.json").read_text())
    assert (summary["status"], summary["epochs"]) == ("interrupted", 9)
    dlcli.resume(str(clean_place / "run"))
    assert outcome(clean_place / "run") == outcome(clean_place / "whole")


def test_a_second_ctrl_c_raises_in_the_calling_program(clean_place: Path) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded):
            press_ctrl_c()
            with pytest.raises(KeyboardInterrupt):
                press_ctrl_c()

    with pytest.raises(KeyboardInterrupt, match="interrupted after epoch 1 of 12"):
        dlcli.train(dlcli.load_config("digits", SETTINGS), run_dir=clean_place / "run", listeners=Listeners(listen))


def test_training_in_another_thread_installs_no_signal_handler(clean_place: Path) -> None:
    results = []

    def train() -> None:
        results.append(dlcli.train(dlcli.load_config("digits", SETTINGS), run_dir=clean_place / "run").status)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert results == ["finished"]
