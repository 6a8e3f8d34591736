"""The same algorithm in dlcli, torch and jax ends with the same parameters.

The script runs in separate processes: jax starts threads, and warns when a process with threads forks.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import CHECKOUT

SCRIPT = CHECKOUT / "docs" / "three_loops.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=200, cwd=CHECKOUT)


def check(shown: str, precision: str, tolerance: float) -> None:
    steps, distance = re.match(rf"(\d+) steps in {precision}; largest change of a parameter: ([\d.]+)", shown).groups()  # type: ignore[union-attr]
    assert int(steps) >= 20
    assert float(distance) > 0.5
    differences = dict(re.findall(r"^  (\S.*\S) +(\d\.\de[+-]\d+)$", shown, re.MULTILINE))
    assert set(differences) == {"dlcli, eager", "dlcli, manual", "jax.grad"}
    assert float(differences["dlcli, eager"]) == 0, "must be bit-identical"
    assert max(map(float, differences.values())) < tolerance


def test_dlcli_torch_and_jax_agree_and_a_change_of_alpha_by_1e_6_is_detected() -> None:
    another_alpha = "three_loops.main(); three_loops.ALPHA *= 1 + 1e-6; three_loops.main()"
    done = run("-c", f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import three_loops; {another_alpha}")
    assert done.stdout.count("the same θ up to rounding") == 1, done.stderr
    check(done.stdout.partition("the same θ")[0], "float64", 1e-12)
    assert done.returncode == 1
    assert done.stderr.endswith("the results differ by more than rounding\n")


@pytest.mark.long
def test_float32_results_differ_only_by_rounding() -> None:
    """Each of 52 steps rounds parameters of about 1 by 6e-8, and saturated sigmoids amplify this a hundredfold."""
    done = run(str(SCRIPT), "float32")
    assert done.returncode == 0, done.stderr
    check(done.stdout, "float32", 1e-4)
