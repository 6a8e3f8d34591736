"""Made-up sweeps: real spaces and studies whose trials were not trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from groups import make_group
from optuna.trial import Trial, TrialState

from dlcli.config.sweep.load import load_sweep
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.report.sweep import SweepContents
from dlcli.sweeps.folder import SweepFolder
from dlcli.sweeps.records import CONFIRMED, Confirmation, TrialEnd
from dlcli.sweeps.results import measure_sweep
from dlcli.sweeps.storage import quiet_optuna
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials, write_end

EPOCHS = 9
SPACE: dict[str, Any] = {
    "optimizer": [
        {"name": "sgd", "lr": {"min": 1e-3, "max": 1, "log": True}, "momentum": [0, 0.5, 0.9]},
        {"name": "adam", "lr": {"min": 1e-4, "max": 1e-1, "log": True}},
    ],
    "model.hidden_sizes": [[], [64], [64, 64]],
    "optimizer.weight_decay": [0, {"min": 1e-6, "max": 1e-2, "log": True}],
    "training.batch_size": {"min": 16, "max": 64, "step": 16},
}

MIXED = [
    *(("finished", "pruned", "finished", "pruned", "pruned", "finished")[i % 6] for i in range(22)),
    "diverged",
    "never",
]


def load(preset: str = "digits", space: dict[str, Any] | None = None, **settings: Any) -> Sweep:
    """Return a sweep that is not on disk."""
    metric = "val/accuracy" if preset == "digits" else "val/loss"
    config = {
        "name": preset,
        "extends": preset,
        "training": {"epochs": EPOCHS},
        "sweep": {"space": space or SPACE, "metric": metric, "trials": len(MIXED), **settings},
    }
    return Sweep(SweepFolder(Path(f"sweeps/{preset}/20261128T0825Z-ab12")), load_sweep(config))


def run_trials(sweep: Sweep, states: Sequence[str]) -> optuna.Study:
    """Return a study with a trial for each state: those in `MIXED`, or `running`."""
    direction = "maximize" if sweep.loaded.is_maximized else "minimize"
    with quiet_optuna():
        study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
        for state in states:
            trial = study.ask()
            settings = sweep.space.draw(trial)
            if state != "running":
                _end(study, trial, state, _quality(settings), is_maximized=sweep.loaded.is_maximized)
    return study


def _quality(settings: dict[str, Any]) -> float:
    """Return a number that is 0 for the best learning rate and lower for others."""
    lr = settings.get("optimizer", {}).get("lr", 0.1)
    return -abs(math.log10(lr) + 1) - len(settings.get("model.hidden_sizes", ())) / 10


def _end(study: optuna.Study, trial: Trial, state: str, quality: float, *, is_maximized: bool) -> None:
    value = 0.97 * math.exp(quality / 2) if is_maximized else 50 * math.exp(-quality)
    ends = {
        "finished": TrialEnd("finished", value, EPOCHS - 1, EPOCHS),
        "pruned": TrialEnd("pruned", value, 1, 1 if trial.number % 2 else 3),
        "diverged": TrialEnd("diverged", value, 2, 2),
        "never": TrialEnd("diverged", None, None, 0),
    }
    write_end(trial, ends[state])
    if state == "finished":
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def make_contents(sweep: Sweep, states: Sequence[str] = MIXED, *, is_confirmed: bool = True) -> SweepContents:
    """Return the contents of a page about made-up trials."""
    study = run_trials(sweep, states)
    comparison = confirmation = None
    if is_confirmed:
        groups = [
            make_group(seeds=range(1, 11), better=1, is_tested=False),
            make_group(seeds=range(1, 11), is_tested=False),
        ]
        comparison = compare_groups(groups, labels=CONFIRMED)
        metric = comparison.metrics[comparison.metric]
        means = (metric.first.mean, metric.second.mean)
        confirmation = Confirmation("best", "unchanged", comparison.metric, means, comparison.statement)
    manifest = {"command": ["/usr/bin/dlcli", "sweep", "-c", "tune.yaml"], "started": "2026-11-28T08:25:41+00:00"}
    records = read_trials(study, sweep)
    return SweepContents(sweep, measure_sweep(sweep, study, confirmation), records, manifest, comparison, 83.4)
