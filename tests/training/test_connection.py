"""Meeting of the processes that were started together, in a store that still has the keys of earlier starts."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from torch.distributed import HashStore

from dlcli.ranks import Rank
from dlcli.training.connection import choose_interface, name_start


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
