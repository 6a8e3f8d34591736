"""All that decides how training goes on, so that it can stop and go on as if it had not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.optim import Plateau


@dataclass
class Monitor:
    """The best value of a metric so far, and when it was.

    Attributes:
        metric: Bare name of a validation metric; whether higher or lower is better follows from it.
        min_delta: Least change that counts as better.
        best_value: None before the first epoch has ended.
        best_epoch: 0 before the first epoch has ended.
    """

    metric: str
    min_delta: float = 0.0
    best_value: float | None = None
    best_epoch: int = 0

    @classmethod
    def of(cls, monitor: str, min_delta: float = 0.0) -> Monitor:
        """Return a monitor of a setting such as `val/accuracy`."""
        return cls(monitor.removeprefix("val/"), min_delta)

    def update(self, epoch: int, val: Mapping[str, float]) -> bool:
        """Take note of an epoch's metrics; return whether they are the best so far."""
        value = val[self.metric]
        best = math.nan if self.best_value is None else self.best_value
        gain = value - best if self.metric in HIGHER_IS_BETTER else best - value
        improved = self.best_epoch == 0 or gain > self.min_delta
        if improved:
            self.best_value, self.best_epoch = value, epoch
        return improved


@dataclass(frozen=True)
class Position:
    """How far training has come, counted in optimizer updates.

    Attributes:
        epochs: How many have ended, validation and all.
        step: Optimizer updates so far, over all epochs.
        examples: Of the epoch under way that have been learned from; 0 between two epochs.
    """

    epochs: int = 0
    step: int = 0
    examples: int = 0


@dataclass(frozen=True)
class TrainingState:
    """A copy, on the CPU, of all that decides how training goes on, besides the config and the data.

    The order of an epoch's examples needs no state: it is drawn from `seed` and the epoch.

    Attributes:
        position: How far it has come.
        parameters: The model's, by their names in its state dict.
        optimizer: What the optimizer remembers, as `velocity.0.weight`.
        sums: `loss` and `weight` of the epoch under way: sums over its examples.
        generators: State of torch's random generators: `cpu`, and `cuda` where it is used.
        best: Monitor of the best checkpoint.
        stopping: Monitor of early stopping.
        plateau: What the schedule remembers.
        arithmetic: What decides the last bits; the same for the whole run.
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


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators that dropout on `device` draws from.

    As torch.manual_seed does, which takes 0.1 to 0.3 ms, an epoch of a tiny model nearly, to note who called it.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that dropout on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators to what `generator_states` returned; one that is not there stays as it is."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
