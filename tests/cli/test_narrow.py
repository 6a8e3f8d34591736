"""Narrow terminals: lines and tables of all commands fit, words stay whole, commands can be copied."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from rich.cells import cell_len

COMMANDS = [
    "runs list",
    "runs show {}",
    "runs show {} --diagnose",
    "runs compare {} {}",
    "eval {}",
    "eval {} --confusion given-true",
    "predict {}",
    "train digits --dry-run",
    "train digts",
    "train digits optimizer.learning_rate=0.1",
    "explain -c digits",
    "gradcheck -c digits",
    "study",
    "config list",
    "config explain lr",
    "config explain model",
    "config diff digits moons",
    "data list",
    "data check digits",
    "data check digts",
]


@pytest.fixture
def terminal(dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that runs a command line on a terminal of some columns and returns its lines."""

    def run(columns: int, *arguments: str) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(columns))
            for stream in (sys.stdout, sys.stderr):
                patch.setattr(stream, "isatty", lambda: True)
            done = dlcli(*arguments)
        return re.sub(r"\x1b\[[\d;]*m", "", done.out + done.err).splitlines()

    return run


def words(text: str) -> set[str]:
    return set(text.split()) - {"\\"}


def test_every_command_fits_a_narrow_terminal_and_breaks_no_word(
    dlcli: Callable[..., Finished], terminal: Callable[..., list[str]], clean_place: Path
) -> None:
    assert dlcli("train", "digits", "training.epochs=2", "--eval", "-q").code == 0
    (run,) = (str(path.relative_to(clean_place)) for path in clean_place.glob("runs/*/*"))
    for command in COMMANDS:
        arguments = command.format(run, run).split()
        wide = dlcli(*arguments)
        for columns in (40, 50, 60, 80):
            lines = terminal(columns, *arguments)
            broken = words(" ".join(lines)) - words(wide.out + wide.err)
            assert not {word for word in broken if not re.fullmatch("█+", word)}, (command, columns)
            too_long = [
                line for line in lines if cell_len(line) > columns and len(line.removesuffix(" \\").split()) > 1
            ]
            assert not too_long, (command, columns)


def test_a_command_that_is_broken_can_be_copied(
    dlcli: Callable[..., Finished], terminal: Callable[..., list[str]], clean_place: Path
) -> None:
    lines = terminal(40, "train", "digits", "training.epochs=1", "--progress", "none")
    start = lines.index("next")
    assert lines[start + 1] == "  dlcli eval \\"
    (run,) = (str(path.relative_to(clean_place)) for path in clean_place.glob("runs/*/*"))
    script = "\n".join(["dlcli() { echo $# $@; }", *lines[start + 1 :]])
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout == f"2 eval {run}\n"


def test_the_confusion_matrix_is_shown_in_parts(
    dlcli: Callable[..., Finished], terminal: Callable[..., list[str]], clean_place: Path
) -> None:
    classes = ["T-shirt", "Pullover", "Ankle boot", "Sneaker", "Trouser"]
    rows = [f"{i % 7},{i % 3},{classes[i % 5]}" for i in range(200)]
    Path("a.csv").write_text("\n".join(["x,y,kind", *rows]) + "\n")
    Path("a.yaml").write_text("task: classification\ndata: {name: csv, path: a.csv, target: kind}\n")
    assert dlcli("train", "a.yaml", "training.epochs=1", "-q").code == 0
    lines = terminal(40, "eval", "--no-baselines")
    start = lines.index("columns predicted classes")
    matrix = lines[start : lines.index("", lines.index("", start + 2) + 1)]
    assert [sum(name in line for line in matrix) for name in ("Sneaker", "Ankle boot")] == [3, 2]
    assert next(line.split() for line in matrix if "Sneaker" in line) == ["boot", "Pullover", "Sneaker"]
