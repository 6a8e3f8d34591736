from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dlcli.training import threads
from dlcli.training.threads import machine_cores, thread_count, threads_for


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake /sys files of a machine with 8 cores, two hardware threads each, outside a container."""
    monkeypatch.setattr(threads, "_CPUS", tmp_path / "cpu")
    monkeypatch.setattr(threads, "_CGROUP", tmp_path / "cgroup")
    for i in range(16):
        write(tmp_path / f"cpu/cpu{i}/topology/thread_siblings_list", f"{i % 8},{i % 8 + 8}\n")
    machine_cores.cache_clear()
    monkeypatch.setattr(threads, "machine_cores", machine_cores.__wrapped__)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_thread_count_grows_with_the_work_up_to_the_number_of_cores(machine: Path) -> None:
    assert [threads_for(2**power) for power in (10, 18, 19, 20, 21, 22, 23, 30)] == [1, 1, 1, 2, 2, 4, 8, 8]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpuset.cpus.effective": "0-1,5\n"}, 3),
        ({"cpuset.cpus.effective": "4\n", "cpu.max": "200000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu.max": "nonsense", "cpuset.cpus.effective": "\n"}, 8),
    ],
)
def test_container_limits_reduce_the_number_of_cores(machine: Path, files: dict[str, str], cores: int) -> None:
    for name, text in files.items():
        write(machine / "cgroup" / name, text)
    assert threads.machine_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_affinity_and_omp_variables_do_not_change_the_number_of_cores() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from dlcli.training.threads import machine_cores; print(machine_cores())"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == machine_cores()


def test_callers_thread_count_is_restored() -> None:
    before = torch.get_num_threads()
    with thread_count(before + 3):
        assert torch.get_num_threads() == before + 3
    assert torch.get_num_threads() == before


def run(program: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


NORM = """
import torch
from dlcli.training.threads import thread_count
torch.manual_seed(0)
left, right = torch.randn(500, 784).bfloat16(), torch.randn(784, 300).bfloat16()
with thread_count(2):
    print(hash(tuple((left @ right).flatten().tolist())), float((left @ right).norm()))
"""


@pytest.mark.parametrize(("name", "value"), [("OMP_MAX_ACTIVE_LEVELS", "0"), ("OMP_DYNAMIC", "true")])
def test_openmp_variables_leave_results_bit_identical(name: str, value: str) -> None:
    """Regression test: with OMP_MAX_ACTIVE_LEVELS=0, only one of two threads ran, so sums were wrong."""
    assert run(NORM, **{name: value}) == run(NORM)


def test_openmp_thread_limit_below_the_thread_count_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "from dlcli.errors import UsageError\n"
        "from dlcli.training.threads import thread_count\n"
        "with thread_count(1): print('one', end=' ')\n"
        "try:\n  with thread_count(2): print('two')\n"
        "except UsageError as error: print(error)"
    )
    assert run(program, OMP_THREAD_LIMIT="1").startswith("one cannot repeat results bit for bit: OpenMP allows 1 of 2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_of_a_process_that_used_threads_is_rejected_without_deadlock() -> None:
    program = (
        "import os\nfrom dlcli.errors import UsageError\nfrom dlcli.training.threads import thread_count\n"
        "with thread_count(2): pass\n"
        "if os.fork() == 0:\n"
        "  try:\n    with thread_count(2): os._exit(1)\n"
        "  except UsageError as error: os._exit(7 if 'spawn' in error.hint else 2)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    assert run(program) == "7"
