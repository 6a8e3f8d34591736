"""Made-up groups of seeds, with values that look like those of real trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlcli.config.load import load_config
from dlcli.runs.group.run import GroupRun, SeedRecord
from dlcli.runs.log import Row

EPOCHS = 12


def make_group(
    preset: str = "digits",
    overrides: Sequence[str] = (),
    *,
    name: str = "20261128T0825-ab12",
    seeds: Sequence[int] = range(10),
    diverged: Sequence[int] = (),
    unfinished: Sequence[int] = (),
    better: float = 0.0,
    is_tested: bool = True,
) -> GroupRun:
    """Return a group whose accuracy or RMSE is about 0.95 or 50, moved by `better` standard deviations."""
    config = load_config(preset, overrides).config
    records = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        noise = np.random.default_rng([seed, len(name)]).normal(size=2) if better else np.zeros(2)
        val, test = (_metrics(config.task, float(rng.normal()) + better + noise[i]) for i in range(2))
        status = "diverged" if seed in diverged else "unfinished" if seed in unfinished else "finished"
        record = SeedRecord(
            seed=seed,
            status=status,
            epochs=EPOCHS,
            best_epoch=EPOCHS - 1,
            train={"loss": val["loss"] / 2},
            val=val if config.data.val_fraction else {},
            test=test if is_tested and status == "finished" else None,
            error="the training loss is not finite in epoch 3" if status == "diverged" else None,
        )
        records.append(record)
    manifest = {
        "started": "2026-11-28T08:25:41+00:00",
        "command": ["/usr/bin/dlcli", "train", "-c", preset, "--seeds", str(len(records)), "--eval"],
        "working_folder": "/home/me",
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device": "cpu",
        "threads": 2,
        "data": {"name": config.data.name, "sha256": {}},
        **({"class_counts": [130] * 10} if config.task == "classification" else {}),
    }
    status = "interrupted" if unfinished else "finished"
    return GroupRun(f"runs/{config.name}/{name}", config, status, 14.2, records, manifest)


def _metrics(task: str, z: float) -> dict[str, Any]:
    z = float(z)
    if task == "regression":
        rmse = 55 - 1.5 * z
        return {"loss": rmse**2 / 6000, "mse": rmse**2, "rmse": rmse, "mae": 0.8 * rmse, "r2": 1 - rmse**2 / 6000}
    accuracy = round(360 * min(1.0, 0.95 + 0.008 * z)) / 360
    per_class = {str(digit): {"support": 36, "recall": accuracy} for digit in range(10)}
    return {"loss": 0.2 - 0.02 * z, "accuracy": accuracy, "macro_f1": accuracy - 0.001, "per_class": per_class}


def make_logs(group: GroupRun) -> Mapping[int, list[Row]]:
    """Return rows of metrics for each seed; the log of a diverged seed is short."""
    logs = {}
    for record in group.seeds:
        n = 3 if record.status == "diverged" else record.epochs
        val = {name: value for name, value in record.val.items() if isinstance(value, float)}
        logs[record.seed] = [
            {
                "epoch": epoch,
                "step": 20 * epoch,
                "lr": 0.1,
                "train/loss": (record.train or {}).get("loss") * (1 + 3 / epoch),
                **{f"val/{name}": value * (1 + (1 if name == "loss" else -0.5) / epoch) for name, value in val.items()},
                "epoch_seconds": 0.1,
            }
            for epoch in range(1, n + 1)
        ]
    return logs
