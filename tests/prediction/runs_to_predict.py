"""Small runs of each kind, and new data for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import dlcli

SETTINGS = ["training.epochs=2", "plots=never"]


def frame(rows: int = 240, seed: int = 0) -> pl.DataFrame:
    """Return rows with numbers, booleans, categories, gaps and codes, and four targets."""
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=rows) * 1e3, draw.normal(size=rows)
    kind, place = draw.choice(["x", "y", "zé"], rows), draw.choice(["p", "q", "r", "s"], rows, p=[0.5, 0.4, 0.06, 0.04])
    number = np.round(b, 3).astype(object)
    number[draw.random(rows) < 0.1] = None
    texts = kind.astype(object)
    texts[draw.random(rows) < 0.1] = None
    label = np.where(a + 500 * (kind == "x") > 0, "up, or so", "down")
    return pl.DataFrame(
        {
            "id": [f"{i:05}" for i in range(rows)],
            "a": a,
            "n": pl.Series(number.tolist(), dtype=pl.Float64),
            "flag": draw.random(rows) < 0.5,
            "kind": texts.tolist(),
            "place": place,
            "y": label,
            "u": a * 2 + 1e6,
            "v": b,
            "w": b - a / 1e3,
        }
    )


def train_table(target: str | list[str] = "y", *settings: str, task: str = "classification", **data: Any) -> str:
    """Train on a CSV file of `frame` and return the run folder; the file is deleted."""
    frame().write_csv("train.csv")
    targets = [target] if isinstance(target, str) else target
    ignored = ["id", *(name for name in ("y", "u", "v", "w") if name not in targets)]
    section = {"name": "csv", "path": "train.csv", "target": target, "ignore": ignored, "missing": "mean", **data}
    run = dlcli.train({"task": task, "data": section}, [*SETTINGS, *settings]).run
    Path("train.csv").unlink()
    return run


RUNS: dict[str, Callable[[], str]] = {
    "classes": train_table,
    "rare categories together": lambda: train_table(
        "y", "model.head=l1", "model.hidden_sizes=[7]", "data.min_frequency=20", "model.activation=gelu"
    ),
    "one value": lambda: train_table("u", "model.activation=silu", "model.hidden_sizes=[33]", task="regression"),
    "three values": lambda: train_table(["u", "v", "w"], "model.activation=softplus", task="regression"),
    "linear in float64": lambda: train_table(
        "u", "model.hidden_sizes=[]", "training.precision=float64", task="regression"
    ),
    "normalized layers": lambda: train_table("y", "model.batch_norm=true", "model.hidden_sizes=[17, 9]"),
}
