"""Construction of data, model, task and device from a config or a run."""

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
    """Data, model and task of a config on its device, and the arithmetic of its training."""

    config: Config
    splits: Splits
    model: nn.Sequential
    task: Task
    device: torch.device
    arithmetic: Arithmetic


def set_up(config: Config, *, notify: Callable[[str], None] | None = None, splits: Splits | None = None) -> Setup:
    """Load the data and build the model that `config` describes.

    Args:
        config: Validated config.
        notify: Called with a one-line message before a download; None disables downloads.
        splits: Data of `config` if already loaded; None loads it.

    Raises:
        DataError: If the data is missing, damaged or unsuitable.
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


def set_up_float32_cpu(config: Config) -> Setup:
    """Call `set_up` on the CPU in float32, which every machine supports, for later conversion to float64."""
    training = config.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return set_up(config.model_copy(update={"training": training}))


def first_batch(setup: Setup, n: int) -> Split:
    """Return the first n training examples in the order of the first epoch."""
    train = setup.splits.train
    return train.select(draw_order(len(train), setup.config.seed, epoch=1)[:n])


def load_run_config(folder: RunFolder, *, device: str | None = None, data_root: str | None = None) -> Config:
    """Return the config of a run.

    Args:
        folder: Run folder.
        device: Device to compute on; None keeps the device of the run's config.
        data_root: Folder with the data set; None keeps the folder of the run's config.
    """
    overrides = [f"training.device={device}"] if device is not None else []
    overrides += [f"data.root={render_value(data_root)}"] if data_root is not None else []
    return load_config(folder.resolved, overrides).config


def load_run_model(
    folder: RunFolder, which: CheckpointName, device: str, data_root: str | None, setup: Setup | None = None
) -> tuple[Setup, Checkpoint]:
    """Return a run's data and its model with the parameters of a checkpoint.

    Args:
        folder: Run folder.
        which: Checkpoint to load.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        setup: Data and model of the run if already loaded; the model is overwritten. None loads them.

    Raises:
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    saved = load_run_checkpoint(folder, which)
    if setup is None:
        config = load_run_config(folder, device=device, data_root=data_root)
        if config.training.precision == "tf32":  # reduced precision speeds up training only
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
    """Load a run with its log, data and model; return its folder and the loaded run.

    Args:
        run: Run folder or name; None selects the newest run.
        split: Split to use for metrics and pictures.
        checkpoint: Checkpoint to load the model from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        setup: Data and model of the run if already loaded; the model is overwritten. None loads them.

    Raises:
        UsageError: If the run does not exist.
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
    """Check that the data has the checksums and the scaling of the run.

    Args:
        folder: Run folder.
        saved: Checkpoint of the run; None uses the checksums in the manifest only.
        splits: Loaded data.

    Raises:
        DataError: If the data has changed since training.
    """
    sha256 = saved.data if saved else folder.read_manifest().get("data", {}).get("sha256")
    is_same = sha256 == splits.info.checksums
    if saved is not None:
        is_same = is_same and saved.input_scaling.is_close(splits.input_scaling)
        is_same = is_same and saved.target_scaling.is_close(splits.target_scaling)
    if not is_same:
        raise DataError(f"the data has changed since {folder.path} was trained", hint="train again")


def check_fit(folder: RunFolder, checkpoint: Checkpoint, setup: Setup) -> None:
    """Check that the shapes and the position in a checkpoint fit the model and the data.

    Raises:
        DataError: If they do not fit.
    """
    shapes = {name: tensor.shape for name, tensor in checkpoint.parameters.items()}
    fits = shapes == {name: tensor.shape for name, tensor in setup.model.state_dict().items()}
    if (state := checkpoint.training) is not None:
        n, batch_size = len(setup.splits.train), setup.config.training.batch_size
        position = state.position
        steps = position.epochs * count_batches(n, batch_size)
        steps += count_batches(position.examples, batch_size) if position.examples else 0
        fits &= position.examples <= n and position.step == steps
    if not fits:
        raise DataError(
            f"the checkpoint of step {checkpoint.step} does not fit the model and the data of {folder.resolved}",
            hint="one of these files was changed after training; restore it or train again",
        )
