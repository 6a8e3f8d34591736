"""Rules between settings: what each section allows alone but not together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dlcli.config.schema import (
    METRICS,
    Config,
    SgdOptimizer,
    SyntheticClassificationData,
    SyntheticRegressionData,
)
from dlcli.config.source import Path


class Violation(NamedTuple):
    """A rule that a config breaks: the setting to change, what is wrong, what to type."""

    path: Path
    message: str
    hint: str | None


def violations(config: Config) -> Iterator[Violation]:
    """Yield every rule between settings that `config` breaks."""
    yield from _task_rules(config)
    yield from _data_rules(config)
    yield from _training_rules(config)


def _task_rules(config: Config) -> Iterator[Violation]:
    data, loss = config.data, config.loss
    if config.task not in data.tasks:
        yield Violation(
            ("data", "name"), f"{data.name} is data for {data.tasks[0]}, not {config.task}", f"task: {data.tasks[0]}"
        )
    if config.task not in loss.tasks:
        yield Violation(("loss", "name"), f"{loss.name} is no loss for {config.task}", "leave `loss` out")
    known = [f"val/{name}" for name in METRICS[config.task]]
    for section in ("early_stopping", "checkpoint"):
        monitor = getattr(config, section).monitor
        if monitor not in known:
            yield Violation((section, "monitor"), f"must be one of {', '.join(known)}. Got {monitor!r} instead", None)


def _data_rules(config: Config) -> Iterator[Violation]:
    data = config.data
    if isinstance(data, SyntheticRegressionData) and data.function == "friedman1" and data.in_features < 5:
        yield Violation(
            ("data", "in_features"),
            f"must be at least 5 for friedman1. Got {data.in_features} instead",
            "data.in_features=10",
        )
    if isinstance(data, SyntheticClassificationData):
        if data.pattern != "blobs" and data.in_features != 2:
            yield Violation(
                ("data", "in_features"), f"must be 2 for {data.pattern}. Got {data.in_features} instead", None
            )
        if data.pattern in ("moons", "circles") and data.n_classes != 2:
            yield Violation(
                ("data", "n_classes"),
                f"must be 2 for {data.pattern}. Got {data.n_classes} instead",
                "data.pattern=spirals takes any number",
            )


def _training_rules(config: Config) -> Iterator[Violation]:
    optimizer = config.optimizer
    if isinstance(optimizer, SgdOptimizer) and optimizer.nesterov and optimizer.momentum == 0:
        yield Violation(("optimizer", "nesterov"), "needs a momentum above 0", "optimizer.momentum=0.9")
    warmup, epochs = config.scheduler.warmup_epochs, config.training.epochs
    if warmup >= epochs:
        yield Violation(
            ("scheduler", "warmup_epochs"), f"must be less than training.epochs ({epochs}). Got {warmup} instead", None
        )
