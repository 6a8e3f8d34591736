"""docs/sweeps.md: its commands run in order, and its output has the shown lines."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT, Finished

pytest.importorskip("optuna", reason="needs the extra sweep")

PAGE = CHECKOUT / "docs" / "sweeps.md"
PICTURE = PAGE.with_suffix(".png")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
STAMP = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
# Best trials differ between machines, because the last digits of a loss decide about pruning.
LABEL = re.compile(r"^(sweep|status|trials|epochs|note|best trials|val/accuracy|importance|confirmed|verdict|next) ")


def expand(command: str) -> list[str]:
    """Return the arguments of a command, with file patterns replaced as by a shell."""
    return [word for part in shlex.split(command)[1:] for word in (glob.glob(part) if "*" in part else [part])]


def labels(text: str) -> list[str]:
    return [match[1] for line in text.splitlines() if (match := LABEL.match(line))]


def test_commands_run_and_print_the_shown_lines(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    text = fresh = PAGE.read_text(encoding="utf-8")
    is_update = "DLCLI_UPDATE_SNAPSHOTS" in os.environ
    blocks = FENCED.findall(text)
    assert len(blocks) >= 6
    for language, block in blocks:
        if language == "yaml":
            Path(block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
        commands = block.splitlines() if language == "sh" else re.findall(r"^\$ (.*)$", block, re.MULTILINE)
        for command in commands if language != "yaml" else ():
            done = dlcli(*expand(command))
            assert done.code == 0, (command, done.err)
            if language == "" and is_update:
                fresh = fresh.replace(block, f"$ {command}\n{STAMP.sub('20261128T122512Z-5b1c', done.out)}")
                draw_picture()
            elif language == "":
                assert labels(block) == labels(done.out)
    if is_update:
        PAGE.write_text(fresh, encoding="utf-8")


def draw_picture() -> None:
    """Write the picture of the page."""
    from dlcli.plots.style import drawing, render
    from dlcli.plots.sweep import draw_history
    from dlcli.sweeps.folder import find_sweep
    from dlcli.sweeps.sweep import read_sweep
    from dlcli.sweeps.trials import read_trials

    sweep = read_sweep(find_sweep("tune"))
    with sweep.read_study() as study:
        records = read_trials(study, sweep)
    with drawing():
        PICTURE.write_bytes(render(draw_history(records, "val/accuracy", higher_is_better=True), "png", 100))


def test_links_point_to_existing_files() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) == 3
    assert all((PAGE.parent / link).exists() for link in links)
