"""Rules between settings: combinations of valid values that are not allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from dlcli.config.schema import (
    DEFAULT_LOSS,
    METRICS,
    TRAIN_LOSS,
    Config,
    DataSection,
    ImageFolderData,
    InitFromRun,
    SgdOptimizer,
    SyntheticClassificationData,
    SyntheticRegressionData,
    TableData,
    TrainingSection,
)
from dlcli.config.suggest import closest
from dlcli.config.tree import KeyPath


class Violation(NamedTuple):
    """Violated rule between settings.

    Attributes:
        path: Setting to change.
        message: Description of the problem, to follow the name of the setting.
        hint: Correction to type.
        depends_on: Dotted names of the other settings that the rule depends on.
    """

    path: KeyPath
    message: str
    hint: str
    depends_on: tuple[str, ...]


def violations(config: Config) -> Iterator[Violation]:
    """Yield every rule between settings that `config` violates."""
    yield from _task_rules(config)
    yield from _data_rules(config.data)
    yield from _table_rules(config)
    yield from _column_rules(config.data)
    yield from _init_rules(config.model.init)
    yield from _training_rules(config)


def _task_rules(config: Config) -> Iterator[Violation]:
    data, loss = config.data, config.loss
    if config.task not in data.tasks:
        message = f"{data.name} is a data source for {data.tasks[0]}, not for {config.task}"
        yield Violation(("data", "name"), message, f"write it like `task={data.tasks[0]}`", ("task",))
    if config.task not in loss.tasks:
        hint = f"use the task's default, {DEFAULT_LOSS[config.task]}, with `loss=null`"
        yield Violation(("loss", "name"), f"{loss.name} cannot be used for {config.task}", hint, ("task",))
    if config.task == "regression" and config.model.head != "softmax":
        message = f"{config.model.head} produces class probabilities and cannot be used for regression"
        yield Violation(("model", "head"), message, "remove it with `model.head=null`", ("task",))
    has_val = config.data.val_fraction > 0
    monitors = [f"val/{name}" for name in METRICS[config.task]] if has_val else [TRAIN_LOSS]
    for section in ("early_stopping", "checkpoint"):
        monitor = getattr(config, section).monitor
        if monitor not in monitors:
            allowed = f"one of {', '.join(monitors)}" if has_val else f"{TRAIN_LOSS} if data.val_fraction is 0"
            hint = f"did you mean `{section}.monitor={closest(monitor, monitors) or monitors[0]}`?"
            message = f"must be {allowed}. Got {monitor!r} instead"
            yield Violation((section, "monitor"), message, hint, ("task", "data.val_fraction"))


def _table_rules(config: Config) -> Iterator[Violation]:
    data = config.data
    if not isinstance(data, TableData):
        return
    if (data.path is None) == (data.train is None):
        message = "is missing: a table needs a file" if data.path is None else "cannot be combined with data.train"
        yield Violation(("data", "path"), message, "write it like `data.path=table.csv`", ("data.train",))
    for part in ("val", "test"):
        if data.path is not None and getattr(data, part) is not None:
            yield Violation(
                ("data", part), "needs data.train instead of data.path", "rename `path` to `train`", ("data.path",)
            )
    if data.val is not None and not data.val_fraction:
        message = "is 0, which is no validation split, beside data.val"
        yield Violation(("data", "val_fraction"), message, "remove `val_fraction`", ("data.val",))
    if config.task == "classification" and not isinstance(data.target, str):
        message = "must be a single column for classification"
        yield Violation(("data", "target"), message, f"write it like `data.target={data.target[0]}`", ("task",))
    ways = [name for name in ("time", "group", "split") if getattr(data, name) is not None]
    if len(ways) > 1 or (ways and data.path is None):
        other = ways[1] if len(ways) > 1 else ways[0]
        reason = f"data.{ways[0]}" if len(ways) > 1 else "separate files"
        yield Violation(
            ("data", other),
            f"cannot be combined with {reason}",
            f"remove `{other}`",
            tuple(f"data.{name}" for name in ways),
        )


def _column_rules(data: DataSection) -> Iterator[Violation]:
    """Yield the rules about column names that a table violates."""
    if not isinstance(data, TableData):
        return
    for setting in ("features", "ignore", "target"):
        names = getattr(data, setting) or ()
        if isinstance(names, tuple) and (twice := [name for i, name in enumerate(names) if name in names[:i]]):
            yield Violation(("data", setting), f"names {twice[0]!r} twice", f"remove one {twice[0]!r}", ())
    used = {*([data.target] if isinstance(data.target, str) else data.target), *(data.features or ())}
    used |= {name for name in (data.time, data.group, data.split) if name is not None}
    for name in data.ignore:
        if name in used:
            yield Violation(
                ("data", "ignore"), f"leaves out {name!r}, which another setting uses", f"remove {name!r}", ("data",)
            )


def _data_rules(data: DataSection) -> Iterator[Violation]:
    if isinstance(data, ImageFolderData) and data.path is None:
        message = "is missing; it is the folder that holds a folder of pictures per class"
        yield Violation(("data", "path"), message, "write it like `data.path=DIR`", ("data.name",))
    if isinstance(data, SyntheticRegressionData) and data.function == "friedman1" and data.in_features < 5:
        message = f"must be at least 5 for friedman1. Got {data.in_features} instead"
        yield Violation(("data", "in_features"), message, "write it like `data.in_features=10`", ("data.function",))
    if isinstance(data, SyntheticClassificationData):
        if data.pattern != "blobs" and data.in_features != 2:
            message = f"must be 2 for {data.pattern}. Got {data.in_features} instead"
            hint = "use `data.pattern=blobs` for more features"
            yield Violation(("data", "in_features"), message, hint, ("data.pattern",))
        if data.pattern in ("moons", "circles") and data.n_classes != 2:
            message = f"must be 2 for {data.pattern}. Got {data.n_classes} instead"
            hint = "use `data.pattern=spirals` for more classes"
            yield Violation(("data", "n_classes"), message, hint, ("data.pattern",))


def _init_rules(init: str | InitFromRun) -> Iterator[Violation]:
    if isinstance(init, InitFromRun) and init.run is None:
        message = "is missing; it is the run to take the parameters from"
        yield Violation(("model", "init", "run"), message, "write it like `model.init.run=RUN`", ("model",))


def _training_rules(config: Config) -> Iterator[Violation]:
    optimizer, training = config.optimizer, config.training
    if isinstance(optimizer, SgdOptimizer) and optimizer.nesterov and optimizer.momentum == 0:
        hint = "write it like `optimizer.momentum=0.9`"
        yield Violation(("optimizer", "nesterov"), "requires optimizer.momentum above 0", hint, ("optimizer.momentum",))
    if training.step == "manual" and training.precision == "bf16":
        hint = "write it like `training.step=auto`"
        yield Violation(
            ("training", "step"), "cannot be manual with training.precision bf16", hint, ("training.precision",)
        )
    if config.model.batch_norm and config.model.hidden_sizes:
        yield from _batch_norm_rules(training)
    warmup = config.scheduler.warmup_epochs
    if round(warmup) >= training.epochs:  # warm-up is rounded to steps; a step must follow, even at one per epoch
        limit = f"training.epochs ({training.epochs}) by more than half an epoch"
        message = f"must be less than {limit}. Got {warmup:g} instead"
        hint = f"write it like `scheduler.warmup_epochs={min(1, training.epochs / 2):g}`"
        yield Violation(("scheduler", "warmup_epochs"), message, hint, ("training.epochs",))
    n_train = config.data.count_training_examples()
    most = math.inf if n_train is None else 1.01 * n_train + 10  # tolerance, because splits are rounded per class
    if training.batch_size != "full" and training.batch_size > most:
        message = (
            f"must be at most the number of training examples, about {n_train:,}. Got {training.batch_size} instead"
        )
        hint = "use all of them with `training.batch_size=full`"
        sizes = ("data.name", "data.n_samples", "data.test_fraction", "data.val_fraction")
        yield Violation(("training", "batch_size"), message, hint, sizes)


def _batch_norm_rules(training: TrainingSection) -> Iterator[Violation]:
    if training.batch_size == 1:
        message = "must be at least 2 with model.batch_norm, which normalizes over the batch. Got 1 instead"
        hint = "write it like `training.batch_size=64`"
        yield Violation(("training", "batch_size"), message, hint, ("model.batch_norm",))
    if training.step == "manual":
        message = "cannot be manual with model.batch_norm, whose gradient is computed by autograd"
        hint = "write it like `training.step=auto`"
        yield Violation(("training", "step"), message, hint, ("model.batch_norm",))
    if training.shards is not None:
        message = "cannot be used with model.batch_norm, which normalizes over the whole batch"
        yield Violation(("training", "shards"), message, "write it like `training.shards=null`", ("model.batch_norm",))
