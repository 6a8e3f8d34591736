"""Training on two hosts, which are network namespaces whose host name means 127.0.0.1."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import CHECKOUT

from faults.launches import TRAIN, Launch, Launched, wait_until_gone
from faults.outcome import outcome

ADDRESSES = ("10.231.7.1", "10.231.7.2")
NAMES = tuple(f"dlcli{os.getpid()}{letter}" for letter in "ab")


def read_recipes() -> list[str]:
    """Return the two commands of the page that need no names."""
    page = (CHECKOUT / "docs" / "processes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(torchrun.*?)```", page.replace("\\\n", " "), flags=re.DOTALL)
    return blocks[0].splitlines()


def by_number(host: int) -> list[str]:
    """Return the launcher that names the first host and numbers all of them."""
    return _launcher(read_recipes()[0].replace("--node-rank 0", f"--node-rank {host}"))


def by_meeting(host: int) -> list[str]:
    """Return the launcher with which hosts meet at the first one."""
    command = read_recipes()[1].replace("is_host=1", f"is_host={1 - host}").replace("NAME", "a1")
    return _launcher(command.replace("--local-addr ADDRESS", f"--local-addr {ADDRESSES[host]}"))


def _launcher(command: str) -> list[str]:
    """Return a command of the page without the module and its arguments, which `Launch` adds."""
    program, *options = shlex.split(command.partition(" -m dlcli ")[0].replace("ADDRESS", ADDRESSES[0]))
    assert program == "torchrun"
    return [sys.executable, "-m", "torch.distributed.run", *options]


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts with a cable between them."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("needs `ip` of Linux")
    try:
        for name in NAMES:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"may not create network namespaces: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", "eth7", "netns", NAMES[0], "type", "veth", "peer", "name", "eth7", "netns", NAMES[1])
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth7")
            for device in ("lo", "eth7"):
                ip("-n", name, "link", "set", device, "up")
        yield
    finally:
        for name in NAMES:
            ip("netns", "delete", name)


def start(
    recipe: Any, folders: Sequence[Path], *arguments: str, version: str = "", faults: Sequence[dict[str, Any]] = ()
) -> list[Launch]:
    """Start a process on each host; the second one may have another version of dlcli."""
    launches = []
    for host, (name, folder) in enumerate(zip(NAMES, folders, strict=True)):
        launcher = ["ip", "netns", "exec", name, *recipe(host)]
        variables = {"DLCLI_TEST_VERSION": version} if host == 1 else {}
        launches.append(Launch([*TRAIN, *arguments], folder, faults, launcher, variables))
    return launches


def end(launches: Sequence[Launch]) -> list[Launched]:
    return [launch.end() for launch in launches]


@pytest.fixture
def folders(clean_place: Path) -> list[Path]:
    found = [clean_place / name for name in ("a", "b")]
    for folder in found:
        folder.mkdir()
    return found


@pytest.mark.usefixtures("hosts")
@pytest.mark.long
@pytest.mark.parametrize("recipe", [by_number, by_meeting])
def test_two_hosts_train_to_the_bits_of_two_processes_on_one(
    recipe: Any, folders: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    together = tmp_path_factory.mktemp("together")
    assert Launch(TRAIN, together).end().code == 0
    for ended in end(start(recipe, folders)):
        assert ended.code == 0, ended.err
    (run,) = [folder / "runs/run" for folder in folders if (folder / "runs").exists()]
    assert outcome(run) == outcome(together / "runs/run")


@pytest.mark.usefixtures("hosts")
@pytest.mark.long
@pytest.mark.parametrize("recipe", [by_number, by_meeting])
@pytest.mark.parametrize("rank", [0, 1])
def test_restarts_on_two_hosts_continue_the_run(
    recipe: Any, folders: list[Path], tmp_path_factory: pytest.TempPathFactory, rank: int
) -> None:
    together = tmp_path_factory.mktemp("together")
    assert Launch(TRAIN, together).end().code == 0
    fault = {"rank": rank, "kind": "collective", "at": 5}
    launches = start(lambda host: [*recipe(host), "--max-restarts", "3"], folders, faults=[fault])
    for ended in end(launches):
        assert ended.code == 0, ended.err
    (run,) = [folder / "runs/run" for folder in folders if (folder / "runs").exists()]
    assert "resumed" in json.loads((run / "manifest.json").read_text())
    assert outcome(run) == outcome(together / "runs/run")


@pytest.mark.usefixtures("hosts")
@pytest.mark.parametrize("difference", ["version", pytest.param("data", marks=pytest.mark.long)])
def test_hosts_that_differ_are_refused_on_both(folders: list[Path], difference: str) -> None:
    arguments, version = [], ""
    if difference == "data":
        rows = [f"{i % 17},{i % 5},{'ab'[i % 2]}" for i in range(120)]
        for number, folder in enumerate(folders):
            text = "\n".join(["a,b,y", *rows, f"{16 + number},0,a"])
            (folder / "t.csv").write_text(text + "\n")
        arguments = ["data={name: csv, path: t.csv, target: y}", "training.batch_size=8"]
    else:
        version = "9.9"
    began = time.monotonic()
    ended = end(start(by_number, folders, *arguments, version=version))
    assert time.monotonic() - began < 60  # most of it is the start of torch
    expected = "another train split" if difference == "data" else "version of dlcli 9.9"
    for each in ended:
        assert each.code == 1
        assert expected in each.err, each.err
        assert "process 1 on" in each.err
    assert not [folder for folder in folders if (folder / "runs").exists()]


@pytest.mark.usefixtures("hosts")
@pytest.mark.long
@pytest.mark.parametrize("times", [10])
def test_a_cut_cable_ends_both_hosts(folders: list[Path], times: int) -> None:
    settings = ["training={epochs: 100000, batch_size: 256, timeout_seconds: 4}", "checkpoint.every_seconds=60"]
    for _ in range(times):
        launches = start(by_number, folders, *settings)
        launches[0].wait_for(folders[0] / "runs/run/metrics.jsonl")
        pids = [pid for launch in launches for pid in launch.ranks().values()]
        assert len(pids) == 2
        ip("-n", NAMES[0], "link", "set", "eth7", "down")
        wait_until_gone([*pids, *(launch.process.pid for launch in launches)], 4 + 10)
        assert all(ended.code != 0 for ended in end(launches))
        ip("-n", NAMES[0], "link", "set", "eth7", "up")
        shutil.rmtree(folders[0] / "runs")
