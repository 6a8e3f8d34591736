"""Full error messages of invalid configs, compared with broken.txt.

`DLCLI_UPDATE_SNAPSHOTS=1 make test ARGS=tests/config/test_broken.py` regenerates the messages; review the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from config.snapshots import Case, check_message, check_places_and_hints, read_cases
from dlcli.config.load import load_config

SNAPSHOTS = Path(__file__).with_name("broken.txt")
CASES = read_cases(SNAPSHOTS)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_config_gets_the_expected_message(clean_place: Path, case: Case) -> None:
    check_message(case, load_config, SNAPSHOTS)


def test_every_message_has_a_place_and_a_hint() -> None:
    assert len(CASES) >= 60
    check_places_and_hints(CASES)
