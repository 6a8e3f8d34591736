"""The same algorithm three times: dlcli, torch and jax end in the same parameters.

In processes of their own: jax brings threads, and warns when a process with threads forks.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import CHECKOUT

SCRIPT = CHECKOUT / "docs" / "three_loops.py"
# float32 parameters of about 1 are rounded by 6e-8 in each of 52 steps; saturated sigmoids make it a hundred times that.
TOLERANCES = {"float64": 1e-12, "float32": 1e-4}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=200, cwd=CHECKOUT)


@pytest.mark.parametrize("precision", TOLERANCES)
def test_dlcli_torch_and_jax_end_in_the_same_parameters(precision: str) -> None:
    done = run(str(SCRIPT), precision)
    assert done.returncode == 0, done.stderr
    steps, way = re.match(rf"(\d+) steps in {precision}; a parameter moved by ([\d.]+)", done.stdout).groups()  # type: ignore[union-attr]
    assert int(steps) >= 20
    assert float(way) > 0.5
    found = dict(re.findall(r"^  (\S.*\S) +(\d\.\de[+-]\d+)$", done.stdout, re.MULTILINE))
    assert set(found) == {"dlcli, eager", "dlcli, manual", "jax.grad"}
    assert float(found["dlcli, eager"]) == 0, "bit for bit"
    assert max(map(float, found.values())) < TOLERANCES[precision]


def test_another_learning_rate_is_told_from_rounding() -> None:
    planted = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import three_loops; "
        "three_loops.ALPHA *= 1 + 1e-6; three_loops.main()"
    )
    done = run("-c", planted)
    assert done.returncode == 1, done.stderr
    assert "not the same algorithm" in done.stderr
