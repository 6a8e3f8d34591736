"""Benchmark scripts: they print measurements and skip systems that are not installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import CHECKOUT


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECKOUT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_a_comparison_prints_one_row_per_system_fastest_first() -> None:
    done = run(
        "tiny.py", "--rounds", "1", "--jax-python", "/missing", "--only", "dlcli", "products alone", "JAX, lax.scan"
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["products alone", "dlcli"]
    assert "JAX, lax.scan is not available" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_growth_measures_time_and_memory_in_a_separate_process() -> None:
    done = run("growth.py", json.dumps({"n": 1000, "hidden": [8], "batch_size": 50}))
    measured = json.loads(done.stdout)
    assert measured["seconds"] > 0
    assert measured["data"] == 1000 * 784 * 4 / 1e6
    assert measured["memory"] > 0
