"""Pruners of sweeps: rules that stop poor trials early.

A decision about a trial depends only on the values that its contenders reported, so a worker that continues the trial
of another worker can repeat it. In contrast, Optuna's pruners store a part of their decision while they make it.

Without generations, the contenders are the trials that have reached the epoch so far. With generations, they are the
trials of the generation, compared once all of them have reached the epoch, so no decision depends on which trial was
faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from dlcli.config.schema import AnyPruner, AshaPruner, HyperbandPruner, MedianPruner, PruningSection

_USUAL_LEVELS = 9  # with ASHA's usual factor of 3, trials are compared after a ninth and a third of the epochs


def is_level(pruner: AnyPruner, number: int, epochs: int, epoch: int) -> bool:
    """Return whether trial `number`, of at most `epochs` epochs, is compared with other trials after `epoch`."""
    match pruner:
        case MedianPruner():
            return epoch >= first_level(pruner, epochs)
        case AshaPruner() | HyperbandPruner():
            level: int = first_level(pruner, epochs) * pruner.factor ** bracket(pruner, number, epochs)
            while level < epoch:
                level *= pruner.factor
            return level == epoch
    return False


def first_level(pruner: PruningSection, epochs: int) -> int:
    """Return the first epoch after which trials are compared, by default a ninth of all epochs.

    The very first epochs are left out, because models that learn fast at first are not always the best in the end.
    """
    return pruner.min_epochs or max(1, epochs // _USUAL_LEVELS)


def bracket(pruner: AnyPruner, number: int, epochs: int) -> int:
    """Return the Hyperband bracket of a trial; 0 for other pruners.

    The brackets differ in their first level, and trials are assigned to them in turn.
    """
    if not isinstance(pruner, HyperbandPruner):
        return 0
    brackets, first = 1, first_level(pruner, epochs) * pruner.factor
    while first < epochs:
        brackets, first = brackets + 1, first * pruner.factor
    return number % brackets


def choose_pruned(pruner: AnyPruner, values: Mapping[int, float], *, higher_is_better: bool) -> Sequence[int]:
    """Return the trials to stop among those that are compared after the same epoch.

    Args:
        pruner: Settings of the pruner.
        values: Best value so far of each trial of the same bracket that has reached the epoch.
        higher_is_better: Whether higher values are better.
    """
    sign = -1 if higher_is_better else 1
    ranked = sorted(values, key=lambda number: (sign * values[number], number))
    if isinstance(pruner, MedianPruner) and values:
        middle = median(values.values())
        return [number for number in ranked if sign * values[number] > sign * middle]
    if isinstance(pruner, (AshaPruner, HyperbandPruner)):
        return ranked[max(1, len(ranked) // pruner.factor) :]
    return []
