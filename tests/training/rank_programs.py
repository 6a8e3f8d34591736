"""Trainings of many settings in one of several processes, run as a script: RANK WORLD_SIZE FOLDER SHARDS CASE..."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, distributed

from dlcli.config.load import load_config
from dlcli.experiment import build_experiment
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.fit import Fit
from dlcli.training.world import World

CASES: dict[str, list[str]] = {
    "plain": ["optimizer.momentum=0"],
    "momentum": ["optimizer.momentum=0.9"],
    "adam": ["optimizer={name: adam, lr: 0.01}"],
    "clipped": ["training.gradient_clip_norm=0.1"],
    "dropout": ["model.dropout=0.3"],
    "balanced": ["loss.class_weights=balanced"],
    "smoothing": ["loss.label_smoothing=0.1"],
    "huber": ["data=diabetes", "loss={name: huber, delta: 0.5}"],
    "full": ["training.batch_size=full"],
    "last batch of one": ["training.batch_size=647", "model.dropout=0.3"],
    "gelu": ["model={hidden_sizes: [17, 33], activation: gelu, dropout: 0.2}", "training.batch_size=67"],
    "plateau": ["data=diabetes", "scheduler={name: plateau, patience: 1}"],
    "early stopping": ["early_stopping={patience: 1, min_delta: 0.5}", "training.epochs=9"],
    "eager": ["training.step=eager", "model.dropout=0.3", "training.batch_size=67"],
    "bf16": ["training.precision=bf16"],
}


def train(name: str, world: World, *, precision: str, threads: int = 1) -> dict[str, Any]:
    """Return the parameters and the metrics after two epochs of a case."""
    settings = [setting for setting in CASES[name] if not setting.startswith("data=")]
    preset = "diabetes" if "data=diabetes" in CASES[name] else "digits"
    common = ["training.epochs=2", "training.device=cpu", f"training.threads={threads}"]
    common += [] if name == "bf16" else [f"training.precision={precision}"]
    experiment = build_experiment(load_config(preset, [*common, *settings]).config)
    model, task, splits = experiment.model, experiment.task, experiment.splits
    fit = Fit(model, task, splits, experiment.config, report_seconds=inf, world=world)
    events = list(fit)
    rows = [{"train/loss": event.train_loss, **event.val} for event in events if isinstance(event, EpochEnded)]
    assert isinstance(events[-1], FitEnded)
    state = fit.state()
    tensors = {**state.parameters, **state.optimizer}
    return {"tensors": tensors, "record": {"rows": rows, "end": events[-1].reason, "sha256": digest(tensors)}}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().numpy().tobytes())
    return sha256.hexdigest()


def main(rank: int, size: int, folder: Path, shards: int | None, threads: int, names: Sequence[str]) -> None:
    """Train the cases, and write the tensors of the first process and the records of each."""
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    records, tensors = {}, {}
    for name in names:
        world = World(rank=rank, size=size, local_size=size, shards=shards, group=distributed.group.WORLD)
        precision = "float32" if shards else "float64"
        result = train(name, world, precision=precision, threads=threads)
        records[name] = result["record"]
        tensors |= {f"{name}/{key}": value.contiguous() for key, value in result["tensors"].items()}
    (folder / f"{rank}.json").write_text(json.dumps(records))
    if rank == 0:
        safetensors.torch.save_file(tensors, folder / "tensors")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank, size, folder, shards, threads, *names = sys.argv[1:]
    main(int(rank), int(size), Path(folder), int(shards) or None, int(threads), names or list(CASES))
