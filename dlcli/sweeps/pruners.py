"""Pruners of sweeps: rules that stop poor trials early.

Without generations, Optuna decides about one trial at a time, from all trials so far. With generations, the trials of a
generation are compared with each other after the same epoch, so that no decision depends on which trial was faster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from dlcli.config.schema import AnyPruner, AshaPruner, HyperbandPruner, MedianPruner, NonePruner

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def build_pruner(pruner: AnyPruner, epochs: int) -> BasePruner:
    """Return the pruner of Optuna for trials of so many epochs, without generations."""
    from optuna import pruners

    match pruner:
        case NonePruner():
            return pruners.NopPruner()
        case MedianPruner():
            return pruners.MedianPruner(n_startup_trials=pruner.min_trials, n_warmup_steps=pruner.min_epochs - 1)
        case AshaPruner():
            return pruners.SuccessiveHalvingPruner(min_resource=pruner.min_epochs, reduction_factor=pruner.factor)
        case HyperbandPruner():
            return pruners.HyperbandPruner(
                min_resource=pruner.min_epochs, max_resource=epochs, reduction_factor=pruner.factor
            )


def is_level(pruner: AnyPruner, epoch: int) -> bool:
    """Return whether a pruner without generations compares trials after an epoch."""
    match pruner:
        case MedianPruner():
            return epoch >= pruner.min_epochs
        case AshaPruner() | HyperbandPruner():
            level = pruner.min_epochs
            while level < epoch:
                level *= pruner.factor
            return level == epoch
    return False


def levels(pruner: AnyPruner, number: int, epochs: int) -> list[int]:
    """Return the epochs after which trial `number` is compared within its generation, each below `epochs`."""
    match pruner:
        case NonePruner():
            return []
        case MedianPruner():
            return list(range(pruner.min_epochs, epochs))
        case AshaPruner() | HyperbandPruner():
            first = pruner.min_epochs * pruner.factor ** bracket(pruner, number, epochs)
            count = 1 + int(math.log(max(1, epochs), pruner.factor))
            reached = (first * pruner.factor**level for level in range(count))
            return [epoch for epoch in reached if epoch < epochs]


def bracket(pruner: AnyPruner, number: int, epochs: int) -> int:
    """Return the bracket of a trial: those of Hyperband differ in their first level, and take turns."""
    if not isinstance(pruner, HyperbandPruner):
        return 0
    brackets, first = 1, pruner.min_epochs * pruner.factor
    while first < epochs:
        brackets, first = brackets + 1, first * pruner.factor
    return number % brackets


def choose_pruned(pruner: AnyPruner, values: Mapping[int, float], *, higher_is_better: bool) -> Sequence[int]:
    """Return the trials to stop, of those that are compared after the same epoch.

    Args:
        pruner: Rule.
        values: Best value so far of each trial of the generation, and of the same bracket, that has not been stopped.
        higher_is_better: Whether higher values are better.
    """
    sign = -1 if higher_is_better else 1
    ranked = sorted(values, key=lambda number: (sign * values[number], number))
    if isinstance(pruner, MedianPruner):
        middle = median(values.values())
        return [number for number in ranked if sign * values[number] > sign * middle]
    if isinstance(pruner, (AshaPruner, HyperbandPruner)):
        return ranked[max(1, len(ranked) // pruner.factor) :]
    return []
