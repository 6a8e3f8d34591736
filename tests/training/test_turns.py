from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.training import turns
from dlcli.training.fit import Fit
from dlcli.training.turns import Turns

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
CPU = torch.device("cpu")
HOLDER = """
import sys, torch
from dlcli.training import turns
turns._name_of_cores = lambda: chr(0) + sys.argv[1]
turns.machine_cores = lambda: 2
with turns.Turns(2, torch.device("cpu")).taken():
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_name(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Use a name that no other process uses, and a machine with two cores."""
    name = f"\0dlcli-test-{id(request.node)}-{request.node.name}"[:90]
    monkeypatch.setattr(turns, "_name_of_cores", lambda: name)
    monkeypatch.setattr(turns, "machine_cores", lambda: 2)
    monkeypatch.setattr(turns.os, "sched_getaffinity", lambda _: {0, 1})
    return name


def test_a_waiting_training_has_its_turn_before_the_same_one_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(turns, "LONGEST_WAIT", 60.0)
    order, waits = [], threading.Event()
    first, second = Turns(2, CPU), Turns(2, CPU)

    def wait() -> None:
        with second.taken():
            order.append("second")

    poll = turns.time.sleep
    monkeypatch.setattr(turns.time, "sleep", lambda seconds: (waits.set(), poll(seconds)))
    with first.taken():
        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait()
        order.append("first")
        first.pass_on()
        order.append("first")
    thread.join()
    assert order == ["first", "second", "first"]


def test_a_killed_training_frees_its_turn_and_a_suspended_one_delays_others_only_once(
    own_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, own_name[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "taken\n"
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(turns, "LONGEST_WAIT", 0.01)
    waiting = Turns(2, CPU)
    with waiting.taken():
        assert waiting._turn is None
    with monkeypatch.context() as patch:
        patch.setattr(turns, "_bind_one", lambda names: pytest.fail("waits again"))
        with waiting.taken():
            pass
    process.kill()
    process.communicate()
    with (after := Turns(2, CPU)).taken():
        assert after._turn is not None


def test_as_many_trainings_run_at_once_as_there_are_cores_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "machine_cores", lambda: 8)
    monkeypatch.setattr(turns.os, "sched_getaffinity", lambda _: set(range(7)))
    monkeypatch.setattr(turns, "LONGEST_WAIT", 0.01)
    several = [Turns(2, CPU) for _ in range(4)]
    for one in several:
        one._take()
    assert [one._turn is not None for one in several] == [True, True, True, False]
    for one in several:
        one._release()


@pytest.mark.parametrize(("threads", "device"), [(1, "cpu"), (2, "cuda")])
def test_a_single_thread_and_a_gpu_need_no_turn(threads: int, device: str) -> None:
    with (turn := Turns(threads, torch.device(device))).taken():
        assert turn._turn is None


def test_a_training_has_a_turn_while_it_computes_but_not_between_two_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LONGEST_WAIT", 0.01)
    config = load_config("moons", ["training.threads=2", "training.epochs=2"]).config
    experiment = build_experiment(config)
    fit = Fit(experiment.model, experiment.task, experiment.splits, config)
    run = fit.step.run

    def check(*arguments: Any) -> Any:
        assert fit._turns._turn is not None
        return run(*arguments)

    monkeypatch.setattr(fit.step, "run", check)
    for _ in fit:
        with (other := Turns(2, CPU)).taken():
            assert other._turn is not None
