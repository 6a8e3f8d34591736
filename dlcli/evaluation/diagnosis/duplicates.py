"""Duplicates of training examples in the validation and test splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlcli.data.splits import Split, Splits

_CROWDED = 4  # examples per possible input; a split in which every example occurs two or three times stays below


@dataclass(frozen=True)
class Overlap:
    """Number of examples in a split whose inputs are bit-identical to those of a training example.

    Attributes:
        examples: Number of examples in the split.
        copies: Number of examples that also occur in train.
        same_label: Number of copies with the same label, or target, as at least one of their duplicates in train.
    """

    split: str
    examples: int
    copies: int
    same_label: int

    @property
    def fraction(self) -> float:
        """Fraction of the split that also occurs in train."""
        return self.copies / self.examples


def find_overlaps(splits: Splits) -> tuple[Overlap, ...]:
    """Count the examples of val, if there are any, and of test that also occur in train.

    Rows are compared by 64-bit hashes of their bytes (SipHash): among 100,000 different rows, a collision has a
    probability of 3 in 10 ** 10.
    """
    targets: dict[int, set[int]] = {}
    for row, target in _hashes(splits.train):
        targets.setdefault(row, set()).add(target)

    def overlap(name: str, split: Split) -> Overlap:
        is_same = [target in targets[row] for row, target in _hashes(split) if row in targets]
        return Overlap(name, len(split), len(is_same), sum(is_same))

    return tuple(overlap(name, split) for name, split in (("val", splits.val), ("test", splits.test)) if len(split))


def is_coarse(split: Split) -> bool:
    """Check whether inputs take so few values that equal inputs are expected, e.g. the answers to three questions."""
    n_possible = 1
    for column in split.inputs.cpu().numpy().T:
        n_possible *= len(np.unique(column))
        if n_possible * _CROWDED > len(split):
            return False
    return True


def _hashes(split: Split) -> Iterator[tuple[int, int]]:
    for row, target in zip(split.inputs.cpu().numpy(), split.targets.cpu().numpy(), strict=True):
        yield hash(row.tobytes()), hash(target.tobytes())
