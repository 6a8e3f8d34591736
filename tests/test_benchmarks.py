"""The benchmarks run: what they print is measured, and what is not installed is left out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import CHECKOUT


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECKOUT / "benchmarks" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_a_comparison_prints_a_row_per_system_the_fastest_first() -> None:
    done = run(
        "tiny.py", "--rounds", "1", "--jax-python", "/missing", "--only", "dlcli", "products alone", "JAX, lax.scan"
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["products alone", "dlcli"]
    assert "JAX, lax.scan does not run here" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_growth_measures_time_and_memory_in_a_process_of_its_own() -> None:
    done = run("growth.py", json.dumps({"n": 1000, "hidden": [8], "batch_size": 50}))
    found = json.loads(done.stdout)
    assert found["seconds"] > 0
    assert found["data"] == 1000 * 784 * 4 / 1e6
    assert found["memory"] > 0
