"""Worker processes train a group to the same bits, and end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from dlcli.errors import DeviceError
from dlcli.training import trace
from dlcli.training.events import FitEnded
from dlcli.training.together import workers
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Group, Member
from dlcli.training.together.workers import WorkerGroup, open_group
from tests.training.together.trainings import Result, add_snapshots, assert_equal, describe, member, seeds, train_group

pytestmark = pytest.mark.skipif(not workers._can_fork(), reason="needs Linux without an accelerator")

SETTINGS = ("training.epochs=4", "model.hidden_sizes=[9]", "training.batch_size=20", "model.dropout=0.2")


def two_workers(members: Sequence[Member]) -> Group:
    return WorkerGroup(members, processes=2)


def test_workers_have_the_bits_of_one_process() -> None:
    wide = seeds("digits", 2, "model.hidden_sizes=[600]", "training.batch_size=100", "training.threads=2")
    configs = [*seeds("digits", 3, *SETTINGS), wide[0], *seeds("moons", 3, *SETTINGS), wide[1]]
    for actual, expected in zip(train_group(configs, two_workers), train_group(configs), strict=True):
        assert_equal(actual, expected)


def test_workers_need_no_threads_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch divides operations on 32,768 values among its threads, which a fork does not have."""
    monkeypatch.setattr(trace, "TRACE_EXAMPLES", 1024)
    assert (torch.rand(1024, 64) @ torch.rand(64, 64)).sum() > 0  # the parent has used its threads
    configs = seeds("digits", 2, *SETTINGS)
    for actual, expected in zip(train_group(configs, two_workers), train_group(configs), strict=True):
        assert_equal(actual, expected)


def test_a_signal_to_the_process_group_does_not_end_workers() -> None:
    configs = seeds("digits", 2, *SETTINGS, "training.epochs=40")
    with two_workers([member(config) for config in configs]) as group:
        iterator, ended = iter(group), []
        next(iterator)
        for worker in group._workers:  # type: ignore[attr-defined]
            for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(worker._process.pid or 0, signum)
        for events in iterator:
            ended += [number for number, event in events if isinstance(event, FitEnded)]
    assert sorted(ended) == [0, 1]


def test_snapshots_of_workers_match_their_events() -> None:
    configs = seeds("digits", 5, *SETTINGS)
    expected = train_group(configs)
    members = [member(config) for config in configs]
    results = [Result([]) for _ in configs]
    for stop_after in (2, 5, 10**6):
        with two_workers(members) as group:
            for count, events in enumerate(group):
                if count == stop_after:
                    pending, snapshots = group.snapshots()
                    add_snapshots(results, snapshots)
                    events = [*events, *pending]
                for number, event in events:
                    if describe(event) not in results[number].events:  # one that had ended says so again
                        results[number].events.append(describe(event))
                if count == stop_after:
                    break
            else:
                add_snapshots(results, group.snapshots()[1])
        members = [member(config, result.state) for config, result in zip(configs, results, strict=True)]
        for result, config in zip(results, configs, strict=True):
            assert len(result.events) >= (result.state.position.epochs if result.state else 0), config.seed
    for actual, whole in zip(results, expected, strict=True):
        assert_equal(actual, whole)


def test_a_killed_worker_is_an_error_and_the_others_end() -> None:
    with two_workers([member(config) for config in seeds("digits", 4, *SETTINGS, "training.epochs=500")]) as group:
        processes = [worker._process for worker in group._workers]  # type: ignore[attr-defined]
        iterator = iter(group)
        next(iterator)
        os.kill(processes[0].pid or 0, signal.SIGKILL)
        with pytest.raises(DeviceError, match="ended by signal 9"):
            for _ in iterator:
                pass
    assert not any(process.is_alive() for process in processes)


class Broken(Sequence[Member]):
    """Members that cannot be built."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, number: int) -> Member:  # type: ignore[override]
        raise MemoryError(f"no memory for {number}")


def test_errors_of_a_worker_are_raised() -> None:
    with pytest.raises(MemoryError, match="no memory for"), WorkerGroup(Broken(), processes=2) as group:
        list(group)


def test_workers_end_with_a_killed_process(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "from tests.training.together.test_workers import *\n"
        "with two_workers([member(c) for c in seeds('digits', 2, *SETTINGS, 'training.epochs=100000')]) as group:\n"
        "    for _ in group:\n"
        "        print(*(worker._process.pid for worker in group._workers), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        numbers = [int(text) for text in process.stdout.readline().split()]
        process.kill()
    assert len(numbers) == 2
    deadline = time.monotonic() + 10
    while any(map(_is_running, numbers)):
        assert time.monotonic() < deadline, "a worker still runs"
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def _is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_group_of_one_process_is_chosen_where_workers_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [member(config) for config in seeds("digits", 2, *SETTINGS)]
    wide = [member(config) for config in seeds("digits", 2, "training.threads=2")]
    assert isinstance(open_group(members, is_together=False), LocalGroup)
    assert isinstance(open_group(wide), LocalGroup)
    assert isinstance(open_group(members[:1]), LocalGroup)
    monkeypatch.setattr(workers, "machine_cores", lambda: 2)
    assert isinstance(open_group(members), WorkerGroup)
