"""Tests of signals: the first saves and shows how to resume, the second ends the process at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from faults.forge import Ended, Forge
from faults.outcome import RESUME, TRAIN, damaged_checkpoints, outcome

SLOW = {"eager_saves": True, "slow_seconds": 0.03}
LONGEST_SECONDS = 5.0
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(scope="module")
def whole(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """Return the outcome of an uninterrupted run, and its duration in seconds."""
    folder = tmp_path_factory.mktemp("whole")
    start = time.perf_counter()
    assert forge.run(*TRAIN, folder=folder, fault=SLOW).code == 0
    return outcome(folder / "runs" / "run"), time.perf_counter() - start


def interrupt(forge: Forge, folder: Path, signum: signal.Signals, after: float) -> Ended:
    """Send a signal to a run after some seconds; all of its processes must end soon."""
    child = forge.start(*TRAIN, folder=folder, fault=SLOW)
    time.sleep(after)
    child.kill(signum)
    sent = time.perf_counter()
    ended = child.wait()
    assert time.perf_counter() - sent < LONGEST_SECONDS
    with pytest.raises(ProcessLookupError):  # the whole process group has ended
        os.killpg(child.pid, 0)
    return ended


def interrupt_at_random(
    forge: Forge, folder: Path, signum: signal.Signals, times: int, whole: tuple[Any, float]
) -> int:
    """Interrupt `times` runs at random times; return how many of them saved a checkpoint."""
    draw = random.Random(signum)
    expected, seconds = whole
    interrupted = saved = 0
    while interrupted < times:
        ended = interrupt(forge, folder, signum, draw.uniform(0, seconds))
        assert ended.code in (0, CODES[signum]), ended
        assert "Traceback" not in ended.err
        interrupted += ended.code != 0
        if "saved runs/run/checkpoints/last.safetensors" in ended.err:
            assert "hint: `dlcli train --resume runs/run` continues from there" in ended.err
            saved += 1
        assert damaged_checkpoints(folder / "runs" / "run") == []
        has_begun = (folder / "runs" / "run" / "manifest.json").exists()
        resumed = forge.run(*(RESUME if has_begun else TRAIN), folder=folder, fault={"eager_saves": True})
        assert resumed.code == 0, resumed.err
        assert outcome(folder / "runs" / "run") == expected
        shutil.rmtree(folder / "runs")
    return saved


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time_ends_the_run_soon_and_it_can_be_resumed(
    forge: Forge, clean_place: Path, whole: tuple[dict[str, Any], float], signum: signal.Signals, times: int
) -> None:
    assert (
        interrupt_at_random(forge, clean_place, signum, times, whole) > times // 10
    )  # on a busy machine, most signals arrive before the first step


def test_closing_the_terminal_saves_a_checkpoint(forge: Forge, clean_place: Path) -> None:
    child = forge.start(*TRAIN, folder=clean_place, fault={"eager_saves": True, "slow_seconds": 0.3})
    while not Path("runs/run/checkpoints/last.safetensors").exists():
        time.sleep(0.01)
    child.kill(signal.SIGHUP)
    ended = child.wait()
    assert ended.code == CODES[signal.SIGHUP]
    assert "saved runs/run/checkpoints/last.safetensors" in ended.err


def test_a_second_signal_ends_the_process_at_once(forge: Forge, clean_place: Path) -> None:
    child = forge.start(*TRAIN, folder=clean_place, fault={"slow_seconds": 20.0})
    while not Path("runs/run/manifest.json").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    child.kill(signal.SIGTERM)
    time.sleep(0.3)
    child.kill(signal.SIGTERM)
    sent = time.perf_counter()
    assert child.wait().code == -signal.SIGTERM
    assert time.perf_counter() - sent < 1
