"""Meeting of the processes that were started together, in a store that still has the keys of earlier starts."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore, TCPStore

from dlcli.errors import UsageError
from dlcli.ranks import Rank
from dlcli.training.connection import choose_interface, connect, name_start, wait_in_thread


def test_each_start_gets_a_name_of_its_own_although_the_store_remembers_earlier_ones() -> None:
    store, size, names = HashStore(), 3, []
    with ThreadPoolExecutor(size) as pool:

        def join(rank: int) -> Future[str]:
            return pool.submit(name_start, store, Rank(rank, size), time.monotonic() + 60)

        for _ in range(10):
            others = [join(rank) for rank in (1, 2)]
            time.sleep(0.03)  # they meet the offer of the earlier start first
            assert not any(other.done() for other in others)
            name = join(0).result()
            assert [other.result() for other in others] == [name, name]
            names.append(name)
    assert len({*names}) == 10


@pytest.mark.parametrize("rank", [0, 1])
def test_a_start_without_the_others_ends(rank: int) -> None:
    with pytest.raises(RuntimeError, match="timed out waiting"):
        name_start(HashStore(), Rank(rank, 2), time.monotonic())


@pytest.mark.skipif(sys.platform != "linux", reason="names the interfaces of Linux")
def test_gloo_uses_the_interface_to_the_first_process_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "nowhere.invalid")
    choose_interface()
    assert "GLOO_SOCKET_IFNAME" not in os.environ
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    choose_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    choose_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7"


@pytest.fixture
def port() -> Iterator[int]:
    """Port of this machine that another program has bound, without listening."""
    with socket.socket() as program:
        program.bind(("127.0.0.1", 0))
        yield program.getsockname()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="sets an interval timer")
def test_a_signal_ends_a_wait_for_the_first_process(port: int) -> None:
    notes: list[str] = []

    def end(_signum: int, _frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(InterruptedError):
            wait_in_thread(
                lambda: TCPStore("127.0.0.1", port, timeout=timedelta(seconds=10)), lambda: notes.append("waiting")
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not notes, "it ended before the note is due, and long before the timeout"


def test_a_result_or_an_error_of_a_thread_is_that_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wait_in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        wait_in_thread(lambda: 1 // 0)
    monkeypatch.setattr("dlcli.training.connection._NOTE_SECONDS", 0.01)
    notes: list[str] = []
    wait_in_thread(lambda: time.sleep(0.5), lambda: notes.append("waiting"))
    assert notes == ["waiting"]


def test_the_port_of_another_program_is_named(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": 0, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(UsageError, match=f"port {port} of this machine is in use") as caught:
        connect("gloo", Rank(0, 2, 0, 1), 20, lambda _: None)
    assert "--master-port" in (caught.value.hint or "")
    with monkeypatch.context() as patch:
        patch.setenv("MASTER_PORT", "99999")
        with pytest.raises(UsageError, match="MASTER_PORT is 99999, which is not the number of a port"):
            connect("gloo", Rank(0, 2, 0, 1), 20, lambda _: None)
    with monkeypatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "nope0")
        with pytest.raises(UsageError, match="the network interface 'nope0', which this machine does not have"):
            connect("gloo", Rank(0, 2, 0, 1), 20, lambda _: None)
    monkeypatch.setenv("MASTER_ADDR", "nowhere.invalid")
    with pytest.raises(RuntimeError, match=r"nowhere\.invalid in MASTER_ADDR has no address"):
        connect("gloo", Rank(0, 2, 0, 1), 0, lambda _: None)
