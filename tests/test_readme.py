"""README: its commands run, and its examples print the shown output."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import CHECKOUT, Finished
from PIL import Image

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [text for tag, text in fenced if tag == language]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def shortened(command: str) -> str:
    """Return a command with fewer repetitions, which take most of the time."""
    command = command.replace("--rounds 3", "--rounds 1")
    return f"{command} --seeds 2" if command == "dlcli study mse-vs-cross-entropy" else command


def write_files(folder: Path) -> None:
    for text in blocks("yaml"):
        (folder / text.split("\n", 1)[0].removeprefix("# ")).write_text(text)
    for label, shade in (("cat", 50), ("dog", 150)):
        (folder / "pictures" / label).mkdir(parents=True)
        for i in range(20):
            Image.new("RGB", (40, 30), (shade + i, 90, 90)).save(folder / "pictures" / label / f"{i}.jpg")
    days = [
        f"2025-{1 + i // 28:02}-{1 + i % 28:02},{'AB'[i % 2]},{i % 7 * 3.5},{('sun', 'rain')[i % 7 > 3]}"
        for i in range(300)
    ]
    (folder / "weather.csv").write_text("\n".join(["date,station,rainfall,weather", *days]) + "\n")
    (folder / "tomorrow.csv").write_text("date,station,rainfall\n2026-01-01,A,0.5\n2026-01-02,B,17.5\n")


def test_commands_run_in_the_order_shown(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    write_files(clean_place)
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("dlcli")]
    assert len(commands) >= 15
    for command in commands:
        if command.startswith("dlcli sweep") and find_spec("optuna") is None:
            continue  # in the extra `sweep`
        if "|" in command:
            piped = shell(command, clean_place)
            assert piped.returncode == 0, (command, piped.stderr)
        else:  # in this process, because each new one imports torch
            done = dlcli(*shlex.split(shortened(command), comments=True)[1:])
            assert done.code == 0, (command, done.err)
    for text in blocks("python"):
        done = shell(f"python -c '{text}'", clean_place)
        assert done.returncode == 0, (text, done.stderr)


def test_config_mistakes_print_the_errors_shown(clean_place: Path) -> None:
    write_files(clean_place)
    shown = [block for block in blocks("") if block.startswith("$ ")]
    assert shown
    for block in shown:
        command, expected = block.split("\n", 1)
        done = shell(command.removeprefix("$ "), clean_place)
        assert (done.returncode, done.stderr) == (2, expected)


def test_make_targets_exist_and_set_up_the_environment() -> None:
    targets = {word for line in blocks("sh")[0].splitlines() for word in line.split()[1:2]}
    targets |= set(re.findall(r"`make ([a-z]+)", README))
    assert targets >= {"train", "test", "bench"}
    for target in targets:
        planned = subprocess.run(
            ["make", "-n", target, "VENV=/nonexistent"], cwd=CHECKOUT, capture_output=True, text=True
        )
        assert planned.returncode == 0, planned.stderr
        assert "pip install" in planned.stdout, target


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_point_to_existing_files(link: str) -> None:
    assert (CHECKOUT / link).exists()
