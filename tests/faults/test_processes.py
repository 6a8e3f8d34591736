"""Trainings of several processes of which one is killed, stopped or told to stop: they end soon, and lose nothing."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from faults.launches import TORCHRUN, TRAIN, Launch, is_running, wait_until_gone
from faults.outcome import damaged_checkpoints, outcome

RESUME = ["train", "--resume", "runs/run"]
LONG = [*TRAIN, "training={epochs: 5000, batch_size: 256, timeout_seconds: 4}", "checkpoint.every_seconds=60"]
END_SECONDS = 35.0  # torch's launcher waits 30 s for a process before it kills it

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the outcome of an undisturbed run of two processes."""
    folder = tmp_path_factory.mktemp("whole")
    ended = Launch(TRAIN, folder).end()
    assert ended.code == 0, ended.err
    return outcome(folder / "runs" / "run")


def resume_or_train(folder: Path) -> dict[str, Any]:
    has_begun = (folder / "runs" / "run" / "manifest.json").exists()
    ended = Launch(RESUME if has_begun else TRAIN, folder).end()
    assert ended.code == 0, ended.err
    return outcome(folder / "runs" / "run")


MOMENTS: list[dict[str, Any]] = [
    {"rank": 0, "kind": "operation", "at": 40},
    {"rank": 1, "kind": "collective", "at": 5},  # a step
    *({"rank": rank, "kind": "collective", "at": at} for rank in (0, 1) for at in (1, 7, 8, 14)),  # 7, 14: validation
    *({"rank": rank, "kind": "start"} for rank in (0, 1)),
    *({"rank": rank, "kind": "message", "at": at} for rank in (0, 1) for at in (1, 2)),  # before training, after it
    *({"rank": 0, "kind": "checkpoint", "at": at} for at in (1, 2, 3)),
    *({"rank": 0, "kind": "operation", "at": at} for at in range(1, 110, 5)),
    *({"rank": 0, "kind": "operation", "at": at} for at in range(1, 110) if at % 5 != 1),
    # seconds after torch is loaded
    *({"rank": number % 2, "kind": "time", "at": number / 120} for number in range(80)),
]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("count", [1, pytest.param(200, marks=pytest.mark.long)])
def test_a_killed_process_ends_all_and_the_run_continues_bit_for_bit(
    clean_place: Path, whole: dict[str, Any], count: int
) -> None:
    killed = finished = 0
    for fault in itertools.islice(MOMENTS, count):
        launch = Launch(TRAIN, clean_place, [fault])
        ended = launch.end()
        if ended.code == 0 and fault["kind"] in ("operation", "time"):  # the run has ended before
            finished += 1
            shutil.rmtree("runs")
            continue
        assert ended.code not in (0, 2, 3), (fault, ended)
        assert ended.err.count("error: ") == 1, (fault, ended.err)
        assert "Traceback" not in ended.err, (fault, ended.err)
        assert ended.seconds < END_SECONDS, fault
        has_begun = (clean_place / "runs/run/manifest.json").exists()
        hint = "`dlcli train --resume runs/run --processes 2`" if has_begun else "start the same command again"
        assert hint in ended.err or "was ended by signal" not in ended.err, (fault, ended.err)
        assert damaged_checkpoints(clean_place / "runs" / "run") == []
        assert resume_or_train(clean_place) == whole, fault
        shutil.rmtree("runs")
        killed += 1
    assert killed + finished == count
    assert killed >= 0.9 * count


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])
def test_processes_save_and_end_when_their_launcher_is_killed(clean_place: Path, times: int) -> None:
    for _ in range(times):
        Path("temporary").mkdir(exist_ok=True)
        launch = Launch(LONG, clean_place, more={"TMPDIR": str(clean_place / "temporary")})
        launch.wait_for(clean_place / "runs/run/metrics.jsonl")
        pids = [*launch.ranks().values()]
        assert len(pids) == 2
        launch.process.kill()
        wait_until_gone(pids, 5)
        ended = launch.end()
        assert json.loads(Path("runs/run/summary.json").read_text())["status"] == "interrupted", ended
        assert ended.err.count("saved runs/run/checkpoints/last.safetensors") == 1, ended
        assert not [*Path("temporary").iterdir()]
        shutil.rmtree("runs")


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_signal_to_any_process_stops_all_and_saves_once(clean_place: Path, rank: int) -> None:
    launch = Launch([*LONG, "--json"], clean_place)
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    pids = launch.ranks()
    os.kill(pids[rank], signal.SIGTERM)
    ended = launch.end()
    assert ended.code == 128 + signal.SIGTERM
    assert json.loads(ended.out)["error"]["kind"] == "interrupted"
    assert ended.err.count("interrupted in epoch") == 1
    assert ended.err.count("saved runs/run/checkpoints/last.safetensors") == 1
    assert not [pid for pid in pids.values() if is_running(pid)]


@pytest.mark.long
def test_ctrl_c_for_the_launcher_saves_the_run(clean_place: Path) -> None:
    launch = Launch(LONG, clean_place)
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    launch.process.send_signal(signal.SIGINT)
    ended = launch.end()
    assert ended.code == 130
    assert ended.err.count("interrupted") == 1
    assert "error: " not in ended.err
    assert ended.out == ""


@pytest.mark.long
def test_a_signal_to_all_processes_at_once_saves_the_run(clean_place: Path) -> None:
    launch = Launch(LONG, clean_place)
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    for pid in (launch.process.pid, *launch.ranks().values()):  # the launcher passes its signal on to the others
        os.kill(pid, signal.SIGTERM)
    ended = launch.end()
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err.count("saved runs/run/checkpoints/last.safetensors") == 1, ended.err


@pytest.mark.long
def test_ctrl_c_ends_processes_that_wait_for_the_data_of_another(clean_place: Path) -> None:
    launch = Launch(TRAIN, clean_place, [{"rank": 1, "kind": "load", "seconds": 100}])
    end = time.monotonic() + 60
    while len(launch.ranks()) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    time.sleep(8)  # one waits for the other
    launch.process.send_signal(signal.SIGINT)
    ended = launch.end(15)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    assert not Path("runs").exists()


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1] * 5)
def test_a_process_that_hangs_ends_all_after_the_timeout(clean_place: Path, rank: int) -> None:
    launch = Launch(LONG, clean_place)
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    pids = launch.ranks()
    os.kill(pids[rank], signal.SIGSTOP)
    start = time.monotonic()
    ended = launch.end()
    assert ended.code == 4
    assert "another process did not answer for 4 seconds" in ended.err
    assert time.monotonic() - start < 4 + 35
    assert not [pid for pid in pids.values() if is_running(pid)]


@pytest.mark.parametrize(
    "fault",
    [
        {"rank": 1, "kind": "collective", "at": 3, "seconds": 3},
        {"rank": 0, "kind": "checkpoint", "at": 2, "seconds": 10},
        {"rank": 1, "kind": "load", "at": 1, "seconds": 22},  # longer than a step may take
    ],
)
@pytest.mark.long
def test_a_slow_process_or_disk_ends_nothing(clean_place: Path, whole: dict[str, Any], fault: dict[str, Any]) -> None:
    ended = Launch([*TRAIN, "training.timeout_seconds=20"], clean_place, [fault]).end()
    assert ended.code == 0, ended.err
    assert ended.seconds > fault["seconds"]
    assert outcome(clean_place / "runs" / "run") == whole


@pytest.mark.long
@pytest.mark.parametrize("kills", [1, 3])
def test_a_restarted_launch_continues_its_run(clean_place: Path, whole: dict[str, Any], kills: int) -> None:
    faults = [{"rank": number % 2, "kind": "collective", "at": 3 + 2 * number} for number in range(kills)]
    arguments = ["train", "-c", "digits", *TRAIN[3:-2]]  # without --run-dir: each start chooses a new name
    launcher = [*TORCHRUN, "--max-restarts", "3"]
    ended = Launch(arguments, clean_place, faults, launcher).end(300)
    assert ended.code == 0, ended.err
    (run,) = Path("runs").glob("*/*/")
    assert len(json.loads((run / "manifest.json").read_text())["resumed"]) == kills
    assert outcome(run) == whole


@pytest.mark.long
@pytest.mark.parametrize("operation", [1, 3, 5, 7, 9, 11])
def test_a_launch_killed_before_its_run_begins_leaves_one_folder(
    clean_place: Path, whole: dict[str, Any], operation: int
) -> None:
    arguments = ["train", "-c", "digits", *TRAIN[3:-2]]
    fault = {"rank": 0, "kind": "operation", "at": operation}
    ended = Launch(arguments, clean_place, [fault], [*TORCHRUN, "--max-restarts", "1"]).end()
    assert ended.code == 0, ended.err
    (run,) = Path("runs").glob("*/*/")
    assert "resumed" not in json.loads((run / "manifest.json").read_text())
    assert outcome(run) == whole


@pytest.mark.long
def test_a_signal_ends_a_launch_that_could_restart(clean_place: Path) -> None:
    launch = Launch(LONG, clean_place, launcher=[*TORCHRUN, "--max-restarts", "3"])
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    pids = launch.ranks()
    os.kill(pids[1], signal.SIGTERM)
    ended = launch.end()
    assert ended.code != 0
    assert ended.err.count("interrupted in epoch") == 1
    assert not [pid for pid in pids.values() if is_running(pid)]
    assert "resumed" not in json.loads((clean_place / "runs/run/manifest.json").read_text())


@pytest.mark.long
def test_a_signal_that_is_ignored_ends_nothing(clean_place: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        launch = Launch(LONG, clean_place)
    finally:
        signal.signal(signal.SIGHUP, before)
    launch.wait_for(clean_place / "runs/run/metrics.jsonl")
    pids = launch.ranks()
    for pid in (launch.process.pid, *pids.values()):
        os.kill(pid, signal.SIGHUP)
    time.sleep(1)
    assert all(is_running(pid) for pid in (launch.process.pid, *pids.values()))
    launch.process.send_signal(signal.SIGTERM)
    assert launch.end().code == 128 + signal.SIGTERM
