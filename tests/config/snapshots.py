"""Snapshots of error messages: a text file of broken configs, each followed by the message it gets."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from dlcli.errors import ConfigError, visible


class Case(NamedTuple):
    name: str
    arguments: list[str]
    text: str
    message: str


def read_cases(snapshots: Path) -> list[Case]:
    cases = []
    for block in snapshots.read_text(encoding="utf-8").split("=== ")[1:]:
        name, rest = block.split("\n", 1)
        config, message = rest.split("---8<---\n")
        arguments: list[str] = []
        if config.startswith("$ "):
            line, config = config.split("\n", 1)
            arguments = shlex.split(line[2:])
        # placeholders for text that editors do not keep or show
        text = config.replace("<TAB>", "\t").replace("<BEL>", "\x07").replace("<5000 DIGITS>", "9" * 5000)
        cases.append(Case(name, arguments, text, message.strip()))
    return cases


def check_message(case: Case, load: Callable[[str, list[str]], object], snapshots: Path) -> None:
    """Compare the message of a broken config with its snapshot, or update the snapshot."""
    Path("mine.yaml").write_text(case.text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load("mine.yaml", case.arguments)
    hints = [f"hint: {hint}" for hint in (caught.value.hint or "").splitlines()]
    actual = visible("\n".join([caught.value.message, "", *hints]))
    if os.environ.get("DLCLI_UPDATE_SNAPSHOTS"):
        assert case.message, "write a placeholder"
        snapshots.write_text(snapshots.read_text(encoding="utf-8").replace(case.message, actual), encoding="utf-8")
    else:
        assert actual == case.message


def check_places_and_hints(cases: Sequence[Case]) -> None:
    """Check that every problem has a place, and every message a hint."""
    for case in cases:
        lines = case.message.splitlines()
        problems = [line for line in lines if line.startswith(("  mine.yaml:", "  command line: "))]
        assert lines[0] == f"mine.yaml has {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        assert any(line.startswith("hint: ") for line in lines)
