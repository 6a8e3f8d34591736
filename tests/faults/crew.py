"""Workers of a sweep of small trainings, of which some are killed, and checks of what they leave."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dlcli.api import train
from dlcli.errors import DivergedError
from dlcli.runs.folder import RunFolder
from dlcli.runs.log import CLOCK
from dlcli.sweeps.folder import SweepFolder
from dlcli.sweeps.sweep import read_sweep
from faults.forge import Child, Forge

MODULES = ("optuna", "sklearn.datasets", "dlcli.api.sweeping.run", "scipy.stats", "cmaes")
SWEEP = ["sweep", "-c", "tune.yaml", "-q"]
SETTINGS: dict[str, Any] = {  # some rates diverge, in the first epoch or later
    "data": {"name": "synthetic_classification", "pattern": "moons", "noise": 0.3, "n_samples": 400},
    "model": {"hidden_sizes": [4]},
    "optimizer": {"weight_decay": 0.1},
    "training": {"epochs": 4, "batch_size": 50, "threads": 1},
}
SPACE = {"optimizer.lr": {"min": 1e-2, "max": 1e6, "log": True}, "optimizer.momentum": {"min": 0.0, "max": 0.9}}
ENDED = {"finished", "pruned", "diverged"}
LOG = "epochs"


def write_config(folder: Path, *, base: Mapping[str, Any] = SETTINGS, **settings: Any) -> None:
    """Write the config of a sweep with these settings of its section `sweep`, and others of the base config."""
    sweep = {"space": SPACE, "metric": "val/loss", "trials": 40, "confirm_seeds": 0, "keep": 3, **settings}
    (folder / "tune.yaml").write_text(json.dumps({**base, "sweep": sweep}))


class Outcome(NamedTuple):
    """What a sweep found, without times."""

    trials: str
    best: str
    logs: Mapping[str, Any]


def only_sweep(folder: Path) -> SweepFolder:
    """Return the one sweep in a folder; a process that was killed at its begin leaves a folder without a config."""
    [config] = (folder / "sweeps" / "tune").glob("*/sweep.yaml")
    return SweepFolder(config.parent)


def outcome(folder: Path) -> Outcome:
    """Return the outcome of the sweep in a folder."""
    sweep = only_sweep(folder)
    logs = {path.parent.name: rows_of(path.parent) for path in sorted(sweep.trials.glob("*/metrics.jsonl"))}
    return Outcome(sweep.table.read_text(), sweep.best.read_text(), logs)


def rows_of(run: Path) -> list[dict[str, Any]]:
    """Return the log of a run without times."""
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return [{name: value for name, value in json.loads(line).items() if name not in CLOCK} for line in lines]


class Crew:
    """Processes that run a sweep in a folder.

    Args:
        forge: Starter of processes.
        folders: Folders with the config, for one process after the other; those of machines that share no folder.
        arguments: Further arguments of the command.
        fault: Faults of every process.
    """

    def __init__(self, forge: Forge, *folders: Path, arguments: Sequence[str] = (), **fault: Any) -> None:
        self._forge, self._folders, self.arguments, self._fault = forge, folders, arguments, fault
        self.killed: list[int] = []

    def start(self, place: int) -> Child:
        """Start a process whose output goes to a folder with this number."""
        folder = self._folders[place % len(self._folders)]
        command = [*SWEEP, *self.arguments]
        return self._forge.start(*command, folder=folder, fault=self._fault, outputs=f"worker{place}")

    def run(self, workers: int, kills: int = 0, seed: int = 0, most_seconds: float = 0.3) -> None:
        """Run the sweep to its end; kill random processes at random times and replace them."""
        draw = random.Random(seed)
        crew = [self.start(place) for place in range(workers)]
        for _ in range(kills):
            time.sleep(draw.uniform(0, most_seconds))
            place = draw.randrange(workers)
            crew[place].kill(signal.SIGKILL)
            ended = crew[place].wait()
            assert ended.code in (0, -signal.SIGKILL), ended
            if ended.code:
                self.killed.append(crew[place].pid)
            crew[place] = self.start(place)
        for child in crew:
            ended = child.wait()
            assert (ended.code, "Traceback" in ended.err) == (0, False), ended


def clear(folder: Path) -> None:
    """Delete the sweep in a folder, and the log of its epochs."""
    shutil.rmtree(folder / "sweeps", ignore_errors=True)
    (folder / LOG).unlink(missing_ok=True)


def check_trials(folder: Path, trials: int, killed: list[int]) -> dict[str, int]:
    """Check that each trial ended, and trained each epoch once but what lay behind a checkpoint; count the states.

    Args:
        folder: Folder of the sweep, whose processes saved after each epoch and logged it to `LOG`.
        trials: Number of trials.
        killed: Processes that were killed.
    """
    sweep = only_sweep(folder)
    rows = list(csv.DictReader(sweep.table.read_text().splitlines()))
    assert [int(row["trial"]) for row in rows] == list(range(trials))
    assert {row["state"] for row in rows} <= ENDED
    with read_sweep(sweep).open_study() as study:
        states = [trial.state.name for trial in study.trials]
    assert set(states[:trials]) <= {"COMPLETE", "PRUNED"}
    assert set(states[trials:]) <= {"WAITING"}
    for row in rows:
        run = sweep.trial(int(row["trial"]))
        log = rows_of(run)
        assert [line["epoch"] for line in log] == list(range(1, int(row["epochs"]) + 1))
        status = json.loads((run / "summary.json").read_text())["status"]
        assert status == row["state"]
        if log:
            assert min(line["val/loss"] for line in log) == float(row["value"])
    _check_epochs(folder / LOG, killed)
    return {state: sum(row["state"] == state for row in rows) for state in sorted(ENDED)}


def _check_epochs(log: Path, killed: list[int]) -> None:
    """Check that an epoch was trained twice only if its process was killed before it saved the epoch."""
    lines = [(name, int(epoch), int(pid)) for name, epoch, pid in map(str.split, log.read_text().splitlines())]
    last = {pid: (name, epoch) for name, epoch, pid in lines}
    trained: dict[tuple[str, int], int] = {}
    for name, epoch, pid in lines:
        before = trained.get((name, epoch))
        assert before is None or (before in killed and last[before] == (name, epoch)), f"trial {name}, epoch {epoch}"
        trained[name, epoch] = pid


def check_values(folder: Path, numbers: list[int]) -> None:
    """Check that trials are bit for bit what training alone gives; one that was pruned is its beginning."""
    sweep = read_sweep(only_sweep(folder))
    with sweep.open_study() as study:
        records = {trial.number: trial for trial in study.trials}
    for number in numbers:
        alone = folder / "alone" / str(number)
        with suppress(DivergedError):
            train(sweep.config_of(sweep.space.overrides(records[number].params)), run_dir=alone)
        rows, expected = rows_of(sweep.folder.trial(number)), rows_of(alone)
        is_pruned = RunFolder(sweep.folder.trial(number)).status == "pruned"
        assert rows == (expected[: len(rows)] if is_pruned else expected), f"trial {number}"
