from __future__ import annotations

import pytest

from dlcli import errors


def test_exit_codes_match_the_documentation() -> None:
    codes = {error.__name__: error.exit_code for error in (errors.UsageError, errors.ConfigError, errors.DataError)}
    codes |= {
        error.__name__: error.exit_code for error in (errors.DeviceError, errors.DivergedError, errors.CheckFailed)
    }
    assert codes == {
        "UsageError": 2,
        "ConfigError": 2,
        "DataError": 3,
        "DeviceError": 4,
        "DivergedError": 5,
        "CheckFailed": 6,
    }
    assert errors.Interrupted("stopped", signum=2).exit_code == 130
    assert errors.Interrupted("stopped", signum=15).exit_code == 143


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Schürze, −0.1\n\tσ", "plain, Schürze, −0.1\n\tσ"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x07\x9b2J", "\\x07\\x9b2J"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("a\rb", "a\\rb"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert errors.visible(text) == shown


def test_only_the_first_50_problems_are_shown() -> None:
    problems = [errors.Problem("f", i, 1, "", f"mistake {i}", f"fix {i}") for i in range(1, 61)]
    lines = errors.ConfigError("f", problems).message.splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("f has 60 problems", "  f:1:1: mistake 1", "  and 10 more")
    assert len(lines) == 52
