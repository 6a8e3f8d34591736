"""State of training: everything needed to resume with bit-identical results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.schedule import Plateau


@dataclass
class Monitor:
    """Best value of a metric so far, and its epoch.

    Attributes:
        metric: Name of a metric without its prefix; it determines whether higher or lower is better.
        min_delta: Smallest change that counts as an improvement.
        best_value: Best value; None before the first epoch has ended.
        best_epoch: Epoch of the best value; 0 before the first epoch has ended.
    """

    metric: str
    min_delta: float = 0.0
    best_value: float | None = None
    best_epoch: int = 0

    @classmethod
    def of(cls, monitor: str, min_delta: float = 0.0) -> Monitor:
        """Return a monitor for a setting such as `val/accuracy`."""
        return cls(monitor.rpartition("/")[2], min_delta)

    def update(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Update the best value with the metrics of an epoch; return whether it has improved."""
        value = metrics[self.metric]
        best = math.nan if self.best_value is None else self.best_value
        gain = value - best if self.metric in HIGHER_IS_BETTER else best - value
        improved = self.best_epoch == 0 or gain > self.min_delta
        if improved:
            self.best_value, self.best_epoch = value, epoch
        return improved


@dataclass(frozen=True)
class Position:
    """Position of training within a run.

    Attributes:
        epochs: Number of completed epochs, including their validation.
        step: Number of optimizer updates so far, over all epochs.
        examples: Number of processed examples of the current epoch; 0 between two epochs.
    """

    epochs: int = 0
    step: int = 0
    examples: int = 0


@dataclass(frozen=True)
class TrainingState:
    """Copy on the CPU of everything that resuming needs besides the config and the data.

    The order of an epoch's examples is not stored: it is a function of `seed` and the epoch.

    Attributes:
        position: Completed epochs, steps, and examples of the current epoch.
        parameters: Parameters and running statistics of the model, by their names in its state dict.
        optimizer: Optimizer state, with names such as `velocity.0.weight`.
        sums: Sums over the examples of the current epoch: `loss` and `weight`.
        generators: States of torch's random generators: `cpu`, and `cuda` if used.
        best: Monitor of the best checkpoint.
        stopping: Monitor of early stopping.
        plateau: State of the scheduler.
        arithmetic: Step, threads and matrix library of the whole run.
    """

    position: Position
    parameters: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    sums: Mapping[str, Tensor]
    generators: Mapping[str, Tensor]
    best: Monitor
    stopping: Monitor
    plateau: Plateau
    arithmetic: Arithmetic


def name_memories(memories: Mapping[str, Sequence[Tensor]], names: Sequence[str]) -> dict[str, Tensor]:
    """Return the optimizer state of each parameter by names such as `velocity.0.weight`."""
    return {
        f"{memory}.{name}": value
        for memory, values in memories.items()
        for name, value in zip(names, values, strict=True)
    }


def split_memories(named: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, list[Tensor]]:
    """Return the optimizer state in the order of the parameters; the inverse of `name_memories`."""
    memories = {key.partition(".")[0] for key in named}
    return {memory: [named[f"{memory}.{name}"] for name in names] for memory in memories}
