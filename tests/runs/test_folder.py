from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.errors import UsageError
from dlcli.runs.create import create_run


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


def test_a_restarted_launch_uses_the_folder_that_it_has_created(clean_place: Path) -> None:
    folder = create_run("a", launch="1")
    (folder.path / "config.yaml").touch()  # it was killed before it wrote the manifest
    assert create_run("a", launch="2") != folder
    assert create_run("a", launch="1") == folder
    folder.manifest.touch()
    other = create_run("a", Path("runs/b"), launch="1")
    assert other.path == Path("runs/b")
