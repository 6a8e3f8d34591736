from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.errors import DataError, UsageError
from dlcli.runs.create import create_run
from dlcli.runs.files import write_json
from dlcli.runs.find import find_run, list_runs


def make_run(name: str, started: str) -> Path:
    folder = create_run(name)
    write_json(folder.manifest, {"started": started})
    return folder.path


def test_runs_are_found_by_folder_by_name_and_by_date(clean_place: Path) -> None:
    old, new, other = make_run("a", "2026-01"), make_run("a", "2026-03"), make_run("b", "2026-02")
    assert [run.path for run in list_runs()] == [old, other, new]
    assert find_run(None).path == new
    assert find_run("b").path == other
    assert find_run("a").path == find_run("runs/a/").path == new
    assert find_run(f"a/{old.name}").path == old
    assert find_run(old.name).path == old
    assert find_run(str(old)).path == old
    moved = clean_place / "elsewhere"
    old.rename(moved)
    assert find_run(str(moved)).path == moved


def test_links_to_other_places_are_not_listed(clean_place: Path) -> None:
    Path("outside").mkdir()
    make_run("b", "2026")
    Path("runs/b").rename("outside/b")
    Path("runs/b").symlink_to("../outside/b")
    assert list_runs() == []


def test_find_run_rejects_missing_runs_and_other_folders(clean_place: Path) -> None:
    with pytest.raises(UsageError, match="no runs found in runs"):
        find_run(None)
    with pytest.raises(UsageError, match="run 'x' not found"):
        find_run("x")
    Path("folder").mkdir()
    with pytest.raises(DataError, match="not a run folder"):
        find_run("folder")


def test_dlcli_runs_sets_the_runs_folder(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCLI_RUNS", str(clean_place / "there"))
    assert make_run("a", "2026").is_relative_to(clean_place / "there")
    assert len(list_runs()) == 1
