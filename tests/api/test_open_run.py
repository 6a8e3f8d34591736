"""The Python API: configs by name, and runs as objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dlcli
from dlcli.errors import UsageError
from dlcli.runs.folder import RunFolder


def test_a_preset_is_trained_by_its_name_and_overrides(clean_place: Path) -> None:
    by_name = dlcli.train("moons", ["training.epochs=2"], run_dir=Path("a"))
    by_config = dlcli.train(dlcli.load_config("moons", ["training.epochs=2"]), run_dir=Path("b"))
    assert by_name.val == by_config.val
    with pytest.raises(ValueError, match="pass them to load_config"):
        dlcli.train(dlcli.load_config("moons"), ["training.epochs=3"])


def test_an_open_run_gives_the_results_of_the_functions(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dlcli.train("moons", ["training.epochs=2"], run_dir=Path("run")).run
    reads: list[Path] = []
    read_summary = RunFolder.read_summary
    monkeypatch.setattr(RunFolder, "read_summary", lambda self: reads.append(self.path) or read_summary(self))
    run = dlcli.open_run(folder)
    assert (run.status, len(run.rows), run.config.name) == ("finished", 2, "moons")
    assert run.status == "finished"
    assert len(reads) == 1
    assert run.evaluate(split="val") == dlcli.evaluate(folder, split="val")
    assert run.predict([3, 0]).predictions == dlcli.predict(folder, [3, 0]).predictions
    assert run.diagnose() == dlcli.diagnose(folder)
    assert run.verify().identical
    assert Path(run.report().file).read_bytes()
    assert set(run.plot(["loss"]).files) == {"loss"}
    with pytest.raises(UsageError, match="run 'nothing' not found"):
        dlcli.open_run("nothing")


def test_the_class_of_open_runs_can_be_imported_before_the_function() -> None:
    code = "from dlcli import api; api.OpenRun; print(callable(api.open_run))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n"
