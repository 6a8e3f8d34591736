"""Experiments: the data, model, task and device that a config describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from dlcli.config.schema import Config
from dlcli.data.sources import load_splits
from dlcli.data.splits import Split, Splits
from dlcli.errors import UsageError
from dlcli.model import build_mlp
from dlcli.task import Task, build_task
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.batches import draw_order, examples_per_batch
from dlcli.training.device import check_memory, convert_memory_errors, dtype_for, pick_device, place_splits


@dataclass(frozen=True)
class Experiment:
    """Data, model and task of a config on its device, and the arithmetic of its training."""

    config: Config
    splits: Splits
    model: nn.Sequential
    task: Task
    device: torch.device
    arithmetic: Arithmetic


def build_experiment(
    config: Config, *, notify: Callable[[str], None] | None = None, splits: Splits | None = None
) -> Experiment:
    """Load the data and build the model that `config` describes.

    The config of the result has the layout of the data files and the default epochs, which may depend on the data.

    Args:
        config: Validated config.
        notify: Called with a one-line message before a download; None disables downloads.
        splits: Data of `config` if already loaded; None loads it.

    Raises:
        DataError: If the data is missing, damaged or unsuitable.
        DeviceError: If the device is missing, or its memory is too small.
        UsageError: If the model normalizes over batches and a batch has a single example.
    """
    device = pick_device(config.training.device)
    dtype = dtype_for(config.training.precision, device)
    splits = load_splits(config, notify=notify) if splits is None else splits
    config, info = config.with_layout(splits.layout).with_usual_lengths(len(splits.train)), splits.info
    check_memory(config, splits, device, dtype)
    _check_batches(config, len(splits.train))
    with convert_memory_errors(config):
        model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype).to(device)
        task = build_task(config, info, splits.target_scaling, splits.train.targets)
        arithmetic = choose_arithmetic(config, model, len(splits.train))
        return Experiment(config, place_splits(splits, device, dtype), model, task, device, arithmetic)


def _check_batches(config: Config, n: int) -> None:
    """Check that no batch has a single example if the model normalizes over batches.

    Raises:
        UsageError: If one has; the hint is the nearest larger batch size without such a batch.
    """
    if not config.model.batch_norm or not config.model.hidden_sizes:
        return
    size = examples_per_batch(n, config.training.batch_size)
    if n > 1 and n % size != 1:
        return
    suitable = next((larger for larger in range(size + 1, n) if n % larger != 1), "full")
    raise UsageError(
        f"model.batch_norm needs at least 2 examples in a batch, and the last of {n:,} in batches of {size:,} is alone",
        hint=f"write it like `training.batch_size={suitable}`",
    )


def build_float32_cpu_experiment(config: Config) -> Experiment:
    """Call `build_experiment` on the CPU in float32, which every machine supports, for later conversion to float64."""
    training = config.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return build_experiment(config.model_copy(update={"training": training}))


def first_batch(experiment: Experiment, n: int) -> Split:
    """Return the first n training examples in the order of the first epoch."""
    train = experiment.splits.train
    return train.select(draw_order(len(train), experiment.config.seed, epoch=1)[:n])
