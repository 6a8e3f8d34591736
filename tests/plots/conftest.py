"""Small real runs, trained once for all tests of plots."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.runs.run import open_run
from dlcli.runs.trained_run import TrainedRun, load_trained_run

SPIRALS = ("pattern=spirals", "n_classes=3", "noise=0.03", "n_samples=300")
SETTINGS = {
    "digits": ("digits", ["training.epochs=2"]),
    "spirals": ("moons", ["training.epochs=2", *(f"data.{setting}" for setting in SPIRALS)]),
    "diabetes": ("diabetes", ["training.epochs=2"]),
    "sine": ("sine_regression", ["training.epochs=2", "data.n_samples=200"]),
    "linear": ("digits", ["training.epochs=1", "model.hidden_sizes=[]", "checkpoint.monitor=val/accuracy"]),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainedRun]:
    """Return a function that returns a run by its name in SETTINGS, evaluated on its test split."""
    runs: dict[str, TrainedRun] = {}

    def get(name: str) -> TrainedRun:
        if name not in runs:
            preset, overrides = SETTINGS[name]
            result = train(load_config(preset, overrides), run_dir=tmp_path_factory.mktemp(name) / "run")
            runs[name] = load_trained_run(open_run(result.run))
        return runs[name]

    return get
