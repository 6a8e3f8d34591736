"""What every use of a config or a run begins with: its data, its model, its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from dlcli.analysis.trained_run import SplitName, TrainedRun
from dlcli.config.load import load_config
from dlcli.config.render import render_value
from dlcli.config.schema import Config
from dlcli.data import load_splits
from dlcli.data.splits import Split, Splits
from dlcli.errors import DataError
from dlcli.model import build_mlp
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.log import read_rows, read_traces
from dlcli.runs.run_checkpoint import load_run_checkpoint
from dlcli.task import Task, build_task
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.batches import count_batches, draw_order
from dlcli.training.device import check_memory, dtype_for, memory_errors_named, pick_device, place_splits

CheckpointName: TypeAlias = Literal["best", "last"]


@dataclass(frozen=True)
class Setup:
    """Data, model and task of a config on its device, and the arithmetic it trains with."""

    config: Config
    splits: Splits
    model: nn.Sequential
    task: Task
    device: torch.device
    arithmetic: Arithmetic


def set_up(config: Config, *, notify: Callable[[str], None] | None = None, splits: Splits | None = None) -> Setup:
    """Load the data and build the model that `config` describes.

    Args:
        config: All settings.
        notify: Told what is fetched before it is; None keeps off the network.
        splits: The data that `config` describes, where it is in memory already.

    Raises:
        DataError: If data is missing, damaged or unfit.
        DeviceError: If the device is missing, or its memory is too small.
    """
    device = pick_device(config.training.device)
    dtype = dtype_for(config.training.precision, device)
    splits = load_splits(config, notify=notify) if splits is None else splits
    info = splits.info
    check_memory(config, splits, device, dtype)
    with memory_errors_named(config):
        model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype).to(device)
        task = build_task(config, splits)
        arithmetic = choose_arithmetic(config, model, len(splits.train))
        return Setup(config, place_splits(splits, device, dtype), model, task, device, arithmetic)


def set_up_plainly(config: Config) -> Setup:
    """Return `set_up`'s on the CPU in float32, which every machine has, for what is made of it in float64."""
    plain = config.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return set_up(config.model_copy(update={"training": plain}))


def first_batch(setup: Setup, n: int) -> Split:
    """Return the first n training examples in the order of the first epoch."""
    train = setup.splits.train
    return train.select(draw_order(len(train), setup.config.seed, epoch=1)[:n])


def load_run_config(folder: RunFolder, *, device: str | None = None, data_root: str | None = None) -> Config:
    """Return the config of a run.

    Args:
        folder: The run's.
        device: Where to compute now; None keeps the run's.
        data_root: Where the data lies now; None keeps the run's.
    """
    overrides = [f"training.device={device}"] if device is not None else []
    overrides += [f"data.root={render_value(data_root)}"] if data_root is not None else []
    return load_config(folder.resolved, overrides).config


def load_run_model(
    folder: RunFolder, which: CheckpointName, device: str, data_root: str | None, setup: Setup | None = None
) -> tuple[Setup, Checkpoint]:
    """Return a run's data and its model with the parameters of a checkpoint.

    Args:
        folder: The run's.
        which: Which checkpoint.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.
        setup: The run's data and model, where they are in memory already; its model is overwritten.

    Raises:
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    saved = load_run_checkpoint(folder, which)
    if setup is None:
        config = load_run_config(folder, device=device, data_root=data_root)
        if config.training.precision == "tf32":  # rounded products speed training up; a measure needs none
            config = config.model_copy(update={"training": config.training.model_copy(update={"precision": "float32"})})
        setup = set_up(config)
    check_data(folder, saved, setup.splits)
    check_fit(folder, saved, setup)
    setup.model.load_state_dict(dict(saved.parameters))
    return setup, saved


def load_trained_run(
    run: str | None,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    *,
    device: str = "auto",
    data_root: str | None = None,
    setup: Setup | None = None,
) -> tuple[RunFolder, TrainedRun]:
    """Return a run's folder, and all that it holds together with its data and model in memory.

    Args:
        run: A run's folder or name; None is the newest.
        split: Which examples figures and pictures are to be of.
        checkpoint: Which parameters.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.
        setup: The run's data and model, where they are in memory already; its model is overwritten.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder = find_run(run)
    setup, saved = load_run_model(folder, checkpoint, device, data_root, setup)
    rows, summary = read_rows(folder.path), folder.read_summary()
    return folder, TrainedRun(
        title=str(folder.path),
        config=setup.config,
        rows=rows,
        traces=read_traces(folder.path, len(rows)),
        splits=setup.splits,
        model=setup.model,
        task=setup.task,
        epoch=saved.epoch,
        status=summary["status"],
        split_name=split,
    )


def check_data(folder: RunFolder, saved: Checkpoint | None, splits: Splits) -> None:
    """Refuse data that has other checksums than the run's, or is scaled by other figures: it is other data.

    Args:
        folder: The run's.
        saved: A checkpoint of it; None asks the manifest.
        splits: The data as it is now.

    Raises:
        DataError: If it is.
    """
    sha256 = saved.data if saved else folder.read_manifest().get("data", {}).get("sha256")
    is_same = sha256 == splits.info.checksums
    if saved is not None:
        is_same = is_same and saved.input_scaling.is_close(splits.input_scaling)
        is_same = is_same and saved.target_scaling.is_close(splits.target_scaling)
    if not is_same:
        raise DataError(f"the data has changed since {folder.path} was trained", hint="train again")


def check_fit(folder: RunFolder, checkpoint: Checkpoint, setup: Setup) -> None:
    """Refuse a checkpoint whose model or position is not one of this data, though all else agrees.

    Raises:
        DataError: If it is.
    """
    then = {name: one.shape for name, one in checkpoint.parameters.items()}
    is_possible = then == {name: one.shape for name, one in setup.model.state_dict().items()}
    if (state := checkpoint.training) is not None:
        n, batch_size = len(setup.splits.train), setup.config.training.batch_size
        position = state.position
        steps = position.epochs * count_batches(n, batch_size)
        steps += count_batches(position.examples, batch_size) if position.examples else 0
        is_possible &= position.examples <= n and position.step == steps
    if not is_possible:
        raise DataError(
            f"the checkpoint of step {checkpoint.step} does not fit the model and the data of {folder.resolved}",
            hint="one of them was changed after training; restore it, or train again",
        )
