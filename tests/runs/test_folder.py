from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.errors import UsageError
from dlcli.runs.folder import create_run


def test_run_dir_sets_the_run_folder(clean_place: Path) -> None:
    assert create_run("a", Path("new/deep")).path == Path("new/deep")
    (clean_place / "file").touch()
    with pytest.raises(UsageError, match="cannot create the run folder"):
        create_run("a", Path("file"))


def test_links_do_not_place_runs_outside_the_runs_folder(clean_place: Path) -> None:
    Path("outside").mkdir()
    Path("runs").mkdir()
    Path("runs/a").symlink_to("../outside")
    with pytest.raises(UsageError, match="runs/a is a link to a folder outside runs"):
        create_run("a")
    assert list(Path("outside").iterdir()) == []
