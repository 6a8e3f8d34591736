"""docs/lecture.md: its commands are run, and what they print is what it shows."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT

PAGE = CHECKOUT / "docs" / "lecture.md"
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
BLOCK = re.compile(r"^```\n(\$ .*?)^```$", flags=re.DOTALL | re.MULTILINE)
TAKES_LONG, NEEDS_CLOTHES = "dlcli study", ("fashion_mnist", "runs/clothes")


def run(command: str, folder: Path) -> str:
    """Return what a command prints on stdout."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def printed(block: str, folder: Path) -> str:
    """Return a block with what its commands print now."""
    commands = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    outputs = [run(command, folder) for command in commands]
    return "".join(f"$ {command}\n{output}" for command, output in zip(commands, outputs, strict=True))


def assert_alike(shown: str, now: str) -> None:
    """Texts must be the same, numbers close: last digits, and times, differ from machine to machine."""
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", now).split()
    for before, after in zip(NUMBER.findall(shown), NUMBER.findall(now), strict=True):
        one, other = (float(text.replace(",", "").replace("−", "-")) for text in (before, after))
        tiny = max(abs(one), abs(other)) < 1e-3  # an error of rounding: its size says all
        assert tiny or math.isclose(one, other, rel_tol=0.1, abs_tol=0.05), (before, after, now)


@pytest.fixture
def place(clean_place: Path) -> Path:
    (clean_place / "three_loops.py").symlink_to(CHECKOUT / "docs" / "three_loops.py")
    return clean_place


def check(place: Path, skipped: tuple[str, ...]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    fresh = text
    for block in BLOCK.findall(text):
        if any(word in block for word in skipped):
            continue
        now = printed(block, place)
        fresh = fresh.replace(block, now)
        if "DLCLI_UPDATE_SNAPSHOTS" not in os.environ:
            assert_alike(block, now)
    if "DLCLI_UPDATE_SNAPSHOTS" in os.environ:
        PAGE.write_text(fresh, encoding="utf-8")


def test_every_row_has_a_command() -> None:
    sections = re.split(r"^## (\d+)\. .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    rows = dict(zip(map(int, sections[::2]), sections[1::2], strict=True))
    assert list(rows) == list(range(1, 20))
    assert all(BLOCK.search(section) for section in rows.values())


def test_its_commands_print_what_it_shows(place: Path) -> None:
    check(place, (TAKES_LONG, *NEEDS_CLOTHES))


def test_its_commands_on_clothes_print_what_it_shows(place: Path, fashion_root: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    others = tuple(block for block in BLOCK.findall(text) if not any(word in block for word in NEEDS_CLOTHES))
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "dlcli"
    cache.mkdir(parents=True)
    (cache / "FashionMNIST").symlink_to(fashion_root / "FashionMNIST")
    check(place, others)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_its_studies_print_what_it_shows(place: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    check(place, tuple(block for block in BLOCK.findall(text) if TAKES_LONG not in block))
