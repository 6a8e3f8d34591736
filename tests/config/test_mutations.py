"""Thousands of randomly damaged configs: each is valid, or rejected with a place and without a traceback."""

from __future__ import annotations

import random
import re
from pathlib import Path

from config.generate import edit, random_config, to_yaml
from dlcli.config.load import load_config
from dlcli.config.presets import presets
from dlcli.config.render import render_yaml
from dlcli.config.suggest import all_settings
from dlcli.errors import ConfigError

MUTATIONS, KEY_EDITS = 3000, 1500
WRONG_VALUES = ["abc", "-1", "1e400", "yes", "[1, 2]", "{a: 1}", "''", "~", "1.5", "true", "0x1F", ".nan", "2026-01-01"]


def verdict(content: bytes) -> ConfigError | None:
    """Return the error of a config; None if it is valid. Any other exception is a bug and passes through."""
    Path("mine.yaml").write_bytes(content)
    try:
        load_config("mine.yaml")
    except ConfigError as error:
        return error
    return None


def broken(text: str, rng: random.Random) -> bytes:
    """Return the text of a config with one random mistake."""
    lines = text.splitlines()
    index = rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:  # a wrong value
            lines[index] = re.sub(r":.*", f": {rng.choice(WRONG_VALUES)}", lines[index])
        case 1:  # a duplicate line
            lines.insert(index, lines[index])
        case 2:  # a missing line
            del lines[index]
        case 3:  # another indentation
            lines[index] = " " * rng.randrange(5) + lines[index].strip()
        case 4:  # a moved line
            lines.insert(rng.randrange(len(lines)), lines.pop(index))
        case 5:  # a special character
            column = rng.randrange(len(lines[index]) + 1)
            lines[index] = lines[index][:column] + rng.choice("[]{}:,&*!|>'\"%@`#-?\t\0") + lines[index][column:]
        case _:  # some flipped bits
            content = bytearray("\n".join(lines).encode())
            for _ in range(rng.randrange(1, 4)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            return bytes(content)
    return "\n".join(lines).encode()


def test_every_damaged_config_is_valid_or_rejected_with_a_place(clean_place: Path) -> None:
    rng = random.Random(20261123)
    rejected = 0
    for _ in range(MUTATIONS):
        content = broken(to_yaml(random_config(rng)), rng)
        error = verdict(content)
        if error is not None:
            rejected += 1
            assert error.exit_code == 2
            for problem in error.problems:
                assert re.match(r"mine\.yaml:\d+:\d+$", problem.place), (content, problem)
                assert problem.hint, (content, problem)
    assert rejected > MUTATIONS / 3, "most of these are mistakes"


def test_a_misspelt_key_is_reported_with_the_correct_key_as_the_hint(clean_place: Path) -> None:
    rng = random.Random(20261123)
    known = {str(path[-1]) for path in all_settings()} | {"extends"}
    edits = right = 0
    while edits < KEY_EDITS:
        lines = to_yaml(random_config(rng)).splitlines()
        index = rng.randrange(len(lines))
        indent, key, rest = re.match(r"( *)(\w+)(:.*)", lines[index]).groups()  # type: ignore[union-attr]
        section = next((line[:-1] for line in reversed(lines[:index]) if line.endswith(":")), "") if indent else ""
        misspelt = edit(key, rng)
        if misspelt in known or not re.fullmatch(r"[a-z_]*[a-z][a-z_]*", misspelt):
            continue
        edits += 1
        lines[index] = f"{indent}{misspelt}{rest}"
        error = verdict("\n".join(lines).encode())
        assert error is not None
        name = ".".join(part for part in (section, misspelt) if part)
        assert f"{name} is not a setting" in error.message, (lines, error.message)
        right += f"did you mean `{'.'.join(part for part in (section, key) if part)}`?" in str(error.hint)
    assert right / edits >= 0.95, right / edits


def test_rendered_configs_read_back_as_the_same_config(clean_place: Path) -> None:
    rng = random.Random(20261123)
    for _ in range(200):
        Path("mine.yaml").write_text(to_yaml(random_config(rng)))
        config = load_config("mine.yaml").config
        Path("shown.yaml").write_text(render_yaml(config, lambda *_: "an origin:12"))
        assert load_config("shown.yaml").config == config


def test_every_truncated_preset_is_valid_or_rejected_with_a_line(clean_place: Path) -> None:
    for preset in presets().values():
        content = preset.read_bytes()
        errors = [verdict(content[:length]) for length in range(0, len(content), 7)]
        assert errors[0] is not None, "an empty file is not a config"
        assert all(problem.line for error in errors if error for problem in error.problems)
