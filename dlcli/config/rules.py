"""Rules between settings: what each section allows alone but not together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dlcli.config.schema import (
    DEFAULT_LOSS,
    METRICS,
    Config,
    DataSection,
    SgdOptimizer,
    SyntheticClassificationData,
    SyntheticRegressionData,
)
from dlcli.config.suggest import closest
from dlcli.config.tree import Path


class Violation(NamedTuple):
    """A rule that a config breaks.

    Attributes:
        path: The setting to change.
        message: What is wrong.
        hint: What to type.
        because_of: The other settings that the rule looks at, by their dotted names.
    """

    path: Path
    message: str
    hint: str
    because_of: tuple[str, ...]


def violations(config: Config) -> Iterator[Violation]:
    """Yield every rule between settings that `config` breaks."""
    yield from _task_rules(config)
    yield from _data_rules(config.data)
    yield from _training_rules(config)


def _task_rules(config: Config) -> Iterator[Violation]:
    data, loss = config.data, config.loss
    if config.task not in data.tasks:
        message = f"{data.name} is data for {data.tasks[0]}, not {config.task}"
        yield Violation(("data", "name"), message, f"write it like `task={data.tasks[0]}`", ("task",))
    if config.task not in loss.tasks:
        hint = f"`loss=null` takes the task's own, {DEFAULT_LOSS[config.task]}"
        yield Violation(("loss", "name"), f"{loss.name} is no loss for {config.task}", hint, ("task",))
    if config.task == "regression" and config.model.head != "softmax":
        message = f"{config.model.head} makes probabilities of outputs; regression has none"
        yield Violation(("model", "head"), message, "leave it out: `model.head=null`", ("task",))
    known = [f"val/{name}" for name in METRICS[config.task]]
    for section in ("early_stopping", "checkpoint"):
        monitor = getattr(config, section).monitor
        if monitor not in known:
            message = f"must be one of {', '.join(known)}. Got {monitor!r} instead"
            hint = f"did you mean `{section}.monitor={closest(monitor, known) or known[0]}`?"
            yield Violation((section, "monitor"), message, hint, ("task",))


def _data_rules(data: DataSection) -> Iterator[Violation]:
    if isinstance(data, SyntheticRegressionData) and data.function == "friedman1" and data.in_features < 5:
        message = f"must be at least 5 for friedman1. Got {data.in_features} instead"
        yield Violation(("data", "in_features"), message, "write it like `data.in_features=10`", ("data.function",))
    if isinstance(data, SyntheticClassificationData):
        if data.pattern != "blobs" and data.in_features != 2:
            message = f"must be 2 for {data.pattern}. Got {data.in_features} instead"
            hint = "`data.pattern=blobs` takes any number"
            yield Violation(("data", "in_features"), message, hint, ("data.pattern",))
        if data.pattern in ("moons", "circles") and data.n_classes != 2:
            message = f"must be 2 for {data.pattern}. Got {data.n_classes} instead"
            hint = "`data.pattern=spirals` takes any number"
            yield Violation(("data", "n_classes"), message, hint, ("data.pattern",))


def _training_rules(config: Config) -> Iterator[Violation]:
    optimizer, training = config.optimizer, config.training
    if isinstance(optimizer, SgdOptimizer) and optimizer.nesterov and optimizer.momentum == 0:
        hint = "write it like `optimizer.momentum=0.9`"
        yield Violation(("optimizer", "nesterov"), "needs a momentum above 0", hint, ("optimizer.momentum",))
    if training.step == "manual" and training.precision == "bf16":
        hint = "write it like `training.step=auto`"
        yield Violation(("training", "step"), "cannot be manual with precision bf16", hint, ("training.precision",))
    warmup = config.scheduler.warmup_epochs
    if round(warmup) >= training.epochs:  # rounded to steps: one must be left, even of one step an epoch
        most = f"training.epochs ({training.epochs}) by more than half an epoch"
        message = f"must be less than {most}. Got {warmup:g} instead"
        hint = f"write it like `scheduler.warmup_epochs={min(1, training.epochs / 2):g}`"
        yield Violation(("scheduler", "warmup_epochs"), message, hint, ("training.epochs",))
    n_train = _about_training_examples(config.data)
    if training.batch_size != "full" and training.batch_size > 1.01 * n_train + 10:  # splits round class by class
        message = f"is larger than the about {n_train:,} training examples. Got {training.batch_size} instead"
        hint = "`training.batch_size=full` takes all of them"
        sizes = ("data.name", "data.n_samples", "data.test_fraction", "data.val_fraction")
        yield Violation(("training", "batch_size"), message, hint, sizes)


def _about_training_examples(data: DataSection) -> int:
    total = getattr(data, "n_samples", data.examples)
    return round(total * (1 - getattr(data, "test_fraction", 0)) * (1 - data.val_fraction))
