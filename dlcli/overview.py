"""Overview of a run before training: data, model, loss, optimizer, device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from dlcli.config.schema import HEADLINE, Config, InitFromRun, RmspropOptimizer, SgdOptimizer
from dlcli.data.splits import DataInfo, Splits
from dlcli.errors import one_line
from dlcli.experiment import Experiment
from dlcli.model import count_parameters
from dlcli.training.batches import count_batches
from dlcli.training.device import describe_device
from dlcli.training.events import GroupStarted, RunStarted

HEAVISIDE_NOTE = (
    "the gradient of heaviside is zero, so only the last layer will learn; sigmoid is its smooth approximation"
)
NO_VAL_NOTE = "there is no validation split (data.val_fraction is 0): train/loss is monitored instead"


def describe_run(
    config: Config,
    splits: Splits,
    model: nn.Module,
    device: torch.device,
    threads: int,
    run: str,
    resumed_from_step: int | None = None,
    processes: int = 1,
) -> RunStarted:
    """Return the event that opens a run: its data, model, loss, optimizer and device.

    Args:
        config: Config of the run.
        splits: Data splits.
        model: Model to train.
        device: Device to train on.
        threads: Number of CPU threads.
        run: Run folder; empty for a dry run.
        resumed_from_step: Number of steps before the resumption; None for a new run.
        processes: Number of processes that train the model together.
    """
    info = splits.info
    steps_per_epoch = count_batches(len(splits.train), config.training.batch_size)
    name, outputs = describe_data(config), describe_outputs(info)
    essentials = [
        ("data", f"{name}: {len(splits.train):,} train, {len(splits.val):,} val, {len(splits.test):,} test"),
        ("inputs", describe_inputs(config, splits)),
        ("task", f"{config.task}: {info.in_features:,} inputs, {outputs}; loss {config.loss.name}"),
        ("model", f"{describe_layers(config, info)}; {count_parameters(model):,} parameters, {_init(config)}"),
        ("training", _training(config, steps_per_epoch)),
        ("device", f"{describe_device(device, threads)}, {config.training.precision}; seed {config.seed}"),
    ]
    if processes > 1:
        essentials.append(("processes", f"{processes}, each with such a device and a part of every batch"))
    if info.noise is not None and info.task == "regression":
        essentials.insert(1, ("truth", f"{info.formula}, noise {info.noise:g}"))
    if run:
        essentials.append(("run", one_line(run)))
    if resumed_from_step is not None:
        epoch = min(resumed_from_step // steps_per_epoch + 1, config.training.epochs)
        essentials.append(("resumed", f"from step {resumed_from_step:,}, in epoch {epoch}"))
    return RunStarted(
        run=run,
        essentials=tuple(essentials),
        notes=_list_notes(config, splits, device),
        epochs=config.training.epochs,
        steps_per_epoch=steps_per_epoch,
        headline=HEADLINE[config.task],
    )


def _list_notes(config: Config, splits: Splits, device: torch.device) -> tuple[str, ...]:
    notes = [*splits.notes, *([] if len(splits.val) else [NO_VAL_NOTE])]
    notes += [HEAVISIDE_NOTE] if config.model.activation == "heaviside" and config.model.hidden_sizes else []
    if splits.train.device.type != device.type:
        notes.append(f"the data do not fit on {device} and stay in host memory, which is slower")
    return tuple(notes)


def describe_group(experiments: Sequence[Experiment], run: str) -> GroupStarted:
    """Return the event that opens the training of a group of seeds.

    Args:
        experiments: Experiments of the seeds, which differ in their seed only.
        run: Group folder; empty for a dry run.
    """
    from dlcli.training.together.members import Member  # imported late: training a single model does not need it
    from dlcli.training.together.workers import describe_plan

    first, seeds = experiments[0], [experiment.config.seed for experiment in experiments]
    threads = first.arithmetic.threads
    started = describe_run(first.config, first.splits, first.model, first.device, threads, run)
    texts = {heading: text.replace(f"; seed {seeds[0]}", "") for heading, text in started.essentials}
    place = list(texts.items()).index(("device", texts["device"]))
    essentials = [*texts.items()]
    members = [Member(each.model, each.task, each.splits, each.config) for each in experiments]
    plan = describe_plan(members, is_together=first.config.training.together == "auto")
    essentials.insert(place + 1, ("seeds", f"{seeds[0]} to {seeds[-1]}: {len(seeds):,} models, {plan}"))
    return GroupStarted(
        run=run,
        essentials=tuple(essentials),
        notes=(*started.notes, *_other_notes(experiments)),
        seeds=len(seeds),
        epochs=first.config.training.epochs * len(seeds),
        headline=started.headline,
    )


def _other_notes(experiments: Sequence[Experiment]) -> list[str]:
    """Return a note on the number of seeds that have notes about their data that the first seed does not have."""
    common = set(experiments[0].splits.notes)
    others = [experiment for experiment in experiments if set(experiment.splits.notes) - common]
    if not others:
        return []
    example = next(note for note in others[0].splits.notes if note not in common)
    return [f"{len(others)} other seeds have notes about their data, such as seed {others[0].config.seed}: {example}"]


def describe_inputs(config: Config, splits: Splits) -> str:
    """Return the number of input features and the range of the preprocessed training inputs."""
    low, high = splits.train.input_range
    features = _count(splits.info.in_features, "feature")
    return f"{features}, {low:.3g} to {high:.3g} ({_scaling(config)})"


def _scaling(config: Config) -> str:
    init = config.model.init
    if isinstance(init, InitFromRun) and init.preprocessing == "keep":
        return f"scaling of {_parent_name(init)}"
    return f"normalize {config.data.normalize}"


def describe_layers(config: Config, info: DataInfo) -> str:
    """Return the layer sizes and the activation of a model: `64-32-10, sigmoid`."""
    sizes = "-".join(str(size) for size in (info.in_features, *config.model.hidden_sizes, info.out_features))
    head = "" if config.model.head == "softmax" else f", {config.model.head} head"
    batch_norm = "batch norm, " if config.model.batch_norm and config.model.hidden_sizes else ""
    return f"{sizes}, {batch_norm}{config.model.activation if config.model.hidden_sizes else 'linear'}{head}"


def _init(config: Config) -> str:
    init = config.model.init
    return f"init {init}" if isinstance(init, str) else f"start from {_parent_name(init)}"


def _parent_name(init: InitFromRun) -> str:
    return one_line(Path(str(init.run)).name)


def describe_optimizer(config: Config) -> str:
    """Return the optimizer, its learning rate and momentum, and the schedule: `sgd, lr 0.05, momentum 0.9`."""
    optimizer, scheduler = config.optimizer, config.scheduler
    parts = [f"{optimizer.name}, lr {optimizer.lr:g}"]
    if isinstance(optimizer, SgdOptimizer | RmspropOptimizer) and optimizer.momentum:
        parts.append(f"momentum {optimizer.momentum:g}")
    if scheduler.name != "none":
        parts.append(scheduler.name)
    return ", ".join(parts)


def describe_data(config: Config) -> str:
    """Return the name of the data: the user's file or folder, or a source with the kind of synthetic data."""
    data = config.data
    path = getattr(data, "path", None) or getattr(data, "train", None)
    if path:
        return one_line(Path(path).name)
    kind = getattr(data, "pattern", None) or getattr(data, "function", None)  # kind of synthetic data
    return f"{data.name}, {kind}" if kind else data.name


def describe_outputs(info: DataInfo) -> str:
    """Return the number of classes, with the name of their column in a table, or the name of the target."""
    if info.task == "regression":
        return info.target_name
    return f"{info.out_features} classes" + (f" of {info.target_name}" if info.columns else "")


def describe_setup(config: Config, info: DataInfo | None) -> tuple[str, str, str]:
    """Return data, model and optimizer in a few words each, such as `digits`, `64-32-10, sigmoid` and `sgd, lr 0.05`.

    Args:
        config: Config of the run.
        info: Description of the data; None leaves out the layer sizes.
    """
    layers = describe_layers(config, info) if info else config.model.activation
    return describe_data(config), layers, describe_optimizer(config)


def _training(config: Config, steps_per_epoch: int) -> str:
    training = config.training
    epochs, steps = _count(training.epochs, "epoch"), _count(steps_per_epoch, "step")
    return f"{describe_optimizer(config)}; {epochs} of {steps}, batch {training.batch_size}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
