"""Full error messages of invalid sweeps, compared with broken_sweeps.txt.

`DLCLI_UPDATE_SNAPSHOTS=1 make test ARGS=tests/config/sweep/test_broken_sweeps.py` regenerates the messages; review the
difference. Arguments after `$` are overrides, or settings of the space after `--space=`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from config.snapshots import Case, check_message, check_places_and_hints, read_cases
from dlcli.config.sweep.load import LoadedSweep, load_sweep

SNAPSHOTS = Path(__file__).with_name("broken_sweeps.txt")
CASES = read_cases(SNAPSHOTS)


def load(name: str, arguments: list[str]) -> LoadedSweep:
    space = [argument.removeprefix("--space=") for argument in arguments if argument.startswith("--space=")]
    return load_sweep(name, [argument for argument in arguments if not argument.startswith("--space=")], space=space)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_sweep_gets_the_expected_message(clean_place: Path, case: Case) -> None:
    check_message(case, load, SNAPSHOTS)


def test_every_message_has_a_place_and_a_hint() -> None:
    assert len(CASES) >= 60
    check_places_and_hints(CASES)
