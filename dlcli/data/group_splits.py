"""Random choice of groups of examples: by size first, by balance of the classes second."""

from __future__ import annotations

import numpy as np


def choose_groups(counts: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return which groups to draw, bool of shape (groups,), for a `fraction` of the examples.

    The number of drawn examples is within one group of the fraction, and the classes are balanced as far as this
    allows. Where possible, each class keeps a group that is not drawn.

    Args:
        counts: Number of examples by group and class, of shape (groups, classes), with at least two groups.
        fraction: Fraction of the examples to draw.
        seed: Seed of the order in which groups are visited.
    """
    choice = _Choice(counts, fraction)
    order = np.random.default_rng(seed).permutation(len(counts))
    for group in order[:, np.newaxis]:
        if choice.improves_size(group) and choice.keeps_classes(group) and choice.imbalance(group) < choice.imbalance():
            choice.add(group)
    while len(groups := choice.allowed(order)):  # the size matters more than the balance
        choice.add(groups[choice.imbalance(groups).argmin()])
    if not choice.chosen.any():
        keeping = order[choice.keeps_classes(order)]
        groups = keeping if len(keeping) else order
        choice.add(groups[counts[groups].sum(1).argmin()])
    return choice.chosen


class _Choice:
    """Groups chosen so far, with the number of examples of each class that are still wanted."""

    def __init__(self, counts: np.ndarray, fraction: float) -> None:
        self.chosen = np.zeros(len(counts), dtype=bool)
        self._counts = counts
        self._left = counts.sum(0)
        self._wanted = fraction * self._left

    def add(self, group: np.ndarray) -> None:
        """Choose a group."""
        self.chosen[group] = True
        counts = self._counts[group].reshape(-1)
        self._left, self._wanted = self._left - counts, self._wanted - counts

    def allowed(self, groups: np.ndarray) -> np.ndarray:
        """Return the groups that can still be chosen."""
        return np.asarray(groups[~self.chosen[groups] & self.improves_size(groups) & self.keeps_classes(groups)])

    def improves_size(self, groups: np.ndarray) -> np.ndarray:
        """Return for each group whether choosing it brings the number of examples closer to the wanted number."""
        wanted = self._wanted.sum()
        return np.asarray(np.abs(wanted - self._counts[groups].sum(1)) < abs(wanted))

    def keeps_classes(self, groups: np.ndarray) -> np.ndarray:
        """Return for each group whether all its classes also occur in another group that is not chosen."""
        counts = self._counts[groups]
        return np.asarray(((counts == 0) | (counts < self._left)).all(1))

    def imbalance(self, groups: np.ndarray | None = None) -> np.ndarray:
        """Return the distance to the wanted numbers, summed over the classes: now, or after choosing each group."""
        return np.asarray(np.abs(self._wanted - (0 if groups is None else self._counts[groups])).sum(-1))
