"""The same algorithm three times: dlcli, torch and jax end in the same parameters.

In processes of their own: jax brings threads, and warns when a process with threads forks.
"""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import CHECKOUT

SCRIPT = CHECKOUT / "docs" / "three_loops.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=200, cwd=CHECKOUT)


def check(shown: str, precision: str, tolerance: float) -> None:
    steps, way = re.match(rf"(\d+) steps in {precision}; largest change of a parameter: ([\d.]+)", shown).groups()  # type: ignore[union-attr]
    assert int(steps) >= 20
    assert float(way) > 0.5
    found = dict(re.findall(r"^  (\S.*\S) +(\d\.\de[+-]\d+)$", shown, re.MULTILINE))
    assert set(found) == {"dlcli, eager", "dlcli, manual", "jax.grad"}
    assert float(found["dlcli, eager"]) == 0, "bit for bit"
    assert max(map(float, found.values())) < tolerance


def test_dlcli_torch_and_jax_end_in_the_same_parameters_and_a_millionth_of_alpha_is_told_from_rounding() -> None:
    another_alpha = "three_loops.main(); three_loops.ALPHA *= 1 + 1e-6; three_loops.main()"
    done = run("-c", f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import three_loops; {another_alpha}")
    assert done.stdout.count("the same θ up to rounding") == 1, done.stderr
    check(done.stdout.partition("the same θ")[0], "float64", 1e-12)
    assert done.returncode == 1
    assert done.stderr.endswith("the results differ by more than rounding\n")


def test_in_float32_they_differ_by_rounding() -> None:
    """52 steps round parameters of about 1 by 6e-8 each, and saturated sigmoids make it a hundred times that."""
    done = run(str(SCRIPT), "float32")
    assert done.returncode == 0, done.stderr
    check(done.stdout, "float32", 1e-4)
