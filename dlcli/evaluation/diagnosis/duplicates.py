"""Examples that lie in two splits: what was learned by heart there is no proof of anything here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlcli.data.splits import Split, Splits

_CROWDED = 4  # examples per possible input; a split of copies, each there twice or three times, is not as crowded


@dataclass(frozen=True)
class Overlap:
    """How many examples of a split have inputs that are in train too, to the last bit.

    Attributes:
        split: The split's name.
        examples: In the split.
        found: How many of them are in train.
        same_label: How many of these have the same label, or target, as one of their twins there.
    """

    split: str
    examples: int
    found: int
    same_label: int

    @property
    def share(self) -> float:
        """Share of the split that is in train."""
        return self.found / self.examples


def find_overlaps(splits: Splits) -> tuple[Overlap, Overlap]:
    """Return how much of val and of test is in train.

    Rows are told apart by 64-bit hashes of their bytes (SipHash): that one pair of 100,000 different rows is taken for
    equal has a chance of 3 in 10 ** 10.
    """
    targets: dict[int, set[int]] = {}
    for row, target in _hashes(splits.train):
        targets.setdefault(row, set()).add(target)
    val, test = (
        [target in targets[row] for row, target in _hashes(split) if row in targets]
        for split in (splits.val, splits.test)
    )
    return (
        Overlap("val", len(splits.val), len(val), sum(val)),
        Overlap("test", len(splits.test), len(test), sum(test)),
    )


def is_coarse(split: Split) -> bool:
    """Return whether inputs take so few values that equal ones are no copies: the answers to three questions, say."""
    room = 1
    for column in split.inputs.cpu().numpy().T:
        room *= len(np.unique(column))
        if room * _CROWDED > len(split):
            return False
    return True


def _hashes(split: Split) -> Iterator[tuple[int, int]]:
    for row, target in zip(split.inputs.cpu().numpy(), split.targets.cpu().numpy(), strict=True):
        yield hash(row.tobytes()), hash(target.tobytes())
