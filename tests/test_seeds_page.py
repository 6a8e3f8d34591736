"""docs/seeds.md: its commands run in order and print the shown output."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from conftest import CHECKOUT, Finished
from test_lecture import assert_similar, printed

from dlcli.cli.completion import complete_run

PAGE = CHECKOUT / "docs" / "seeds.md"
FENCED = re.compile(r"^```(sh)?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def test_commands_print_the_shown_output(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    text = fresh = PAGE.read_text(encoding="utf-8")
    blocks = FENCED.findall(text)
    assert len(blocks) >= 5
    for language, block in blocks:
        if language:
            for command in block.splitlines():
                done = dlcli(*shlex.split(command)[1:])
                assert done.code == 0, (command, done.err)
            continue
        now = printed(block, clean_place, dlcli)
        fresh = fresh.replace(block, now)
        if "DLCLI_UPDATE_SNAPSHOTS" not in os.environ:
            assert_similar(block, now)
    assert complete_run("ten/") == [f"ten/{seed}" for seed in range(10)]
    assert complete_run("runs/four/") == [f"runs/four/{seed}" for seed in range(4)]
    assert complete_run("t") == ["ten"]
    if "DLCLI_UPDATE_SNAPSHOTS" in os.environ:
        PAGE.write_text(fresh, encoding="utf-8")
