"""Full error messages of invalid configs, compared with broken.txt.

`DLCLI_UPDATE_SNAPSHOTS=1 make test ARGS=tests/config/test_broken.py` regenerates the messages; review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from dlcli.config.load import load_config
from dlcli.errors import ConfigError, visible

SNAPSHOTS = Path(__file__).with_name("broken.txt")


class Case(NamedTuple):
    name: str
    overrides: list[str]
    text: str
    message: str


def read_cases() -> list[Case]:
    cases = []
    for block in SNAPSHOTS.read_text(encoding="utf-8").split("=== ")[1:]:
        name, rest = block.split("\n", 1)
        config, message = rest.split("---8<---\n")
        overrides: list[str] = []
        if config.startswith("$ "):
            line, config = config.split("\n", 1)
            overrides = line[2:].split()
        # placeholders for text that editors do not keep or show
        text = config.replace("<TAB>", "\t").replace("<BEL>", "\x07").replace("<5000 DIGITS>", "9" * 5000)
        cases.append(Case(name, overrides, text, message.strip()))
    return cases


def error_message(case: Case) -> str:
    Path("mine.yaml").write_text(case.text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml", case.overrides)
    hints = [f"hint: {hint}" for hint in (caught.value.hint or "").splitlines()]
    return visible("\n".join([caught.value.message, "", *hints]))


CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_config_gets_the_expected_message(clean_place: Path, case: Case) -> None:
    actual = error_message(case)
    if os.environ.get("DLCLI_UPDATE_SNAPSHOTS"):
        assert case.message, "write a placeholder"
        SNAPSHOTS.write_text(SNAPSHOTS.read_text(encoding="utf-8").replace(case.message, actual), encoding="utf-8")
    else:
        assert actual == case.message


def test_every_message_has_a_place_and_a_hint() -> None:
    assert len(CASES) >= 60
    for case in CASES:
        lines = case.message.splitlines()
        problems = [line for line in lines if line.startswith(("  mine.yaml:", "  command line: "))]
        assert lines[0] == f"mine.yaml has {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        assert any(line.startswith("hint: ") for line in lines)
