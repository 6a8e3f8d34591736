"""Start-up time of a training process, by phase, up to the first evaluation of the loss."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from dlcli.programs import programs_allowed

# Executed by a new Python process with this process's import path, without the working folder. Each output line gives
# the end time of a phase.
_START_UP = """
import sys, time
sys.path[:] = sys.argv.pop(1).split("\\n")
def ended(phase): print(f"{phase}\t{time.time()}")
ended("Python")
import torch
ended("import torch")
from dlcli import api
from dlcli.config.load import load_config
ended("import dlcli")
loaded = load_config(sys.argv[1], sys.argv[2:])
ended("config")
experiment = api.build_experiment(loaded.config)
ended("data and model")
from dlcli.training.fit import Fit
next(iter(Fit(experiment.model, experiment.task, experiment.splits, loaded.config)))
ended("first look at the loss")
"""


def measure_start_up(config: str | None, overrides: Sequence[str], *, rounds: int = 3) -> dict[str, float]:
    """Return the median seconds per phase from the start of a process to the first evaluation of the loss.

    Args:
        config: Config file or preset with data that is available offline; None uses `digits`.
        overrides: Settings that override the config, e.g. `optimizer.lr=0.5`.
        rounds: Number of processes to start.
    """
    phases: dict[str, list[float]] = {}
    for _ in range(rounds):
        last = time.time()
        command = [sys.executable, "-P", "-c", _START_UP, "\n".join(sys.path), config or "digits", *overrides]
        with programs_allowed():
            completed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        for line in completed.stdout.splitlines():
            phase, ended_at = line.split("\t")
            phases.setdefault(phase, []).append(float(ended_at) - last)
            last = float(ended_at)
    return {phase: statistics.median(seconds) for phase, seconds in phases.items()}
