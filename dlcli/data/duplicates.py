"""Duplicate examples: copies of training examples in val and test, and equal inputs with different targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcli.data.ahead import map_ahead
from dlcli.data.splits import Split, Splits

# Number of examples per possible input from which duplicates are expected. A split in which every example occurs two or
# three times has fewer.
_CROWDED = 4
_BLOCK = 1 << 20  # bytes that are hashed or compared at once, so that they stay in the CPU cache
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio (Knuth, volume 3, section 6.4)


@dataclass(frozen=True)
class Overlap:
    """Overlap of a split with train: examples with the same inputs as a training example.

    Attributes:
        examples: Number of examples in the split.
        copies: Number of examples whose inputs also occur in train.
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

    def describe(self, target: str) -> str:
        """Return the numbers as a sentence; `target` is the word for the predicted quantity, `label` or `target`."""
        return (
            f"{self.copies:,} of {self.examples:,} {self.split} examples ({100 * self.fraction:.3g} %) have exactly "
            f"the inputs of a training example, {self.same_label:,} of them with the same {target}"
        )


@dataclass(frozen=True)
class Duplicates:
    """Duplicate examples of a data set.

    Attributes:
        overlaps: Overlap of val and of test with train; splits without examples are left out.
        contradictions: Number of examples in train and val whose inputs also occur there with a different target.
    """

    overlaps: tuple[Overlap, ...]
    contradictions: int

    def __bool__(self) -> bool:
        return self.contradictions > 0 or any(overlap.copies for overlap in self.overlaps)

    def describe(self, target: str) -> tuple[str, ...]:
        """Return a sentence for each kind of duplicates that occurs; `target` is as in `Overlap.describe`."""
        sentences = [overlap.describe(target) for overlap in self.overlaps if overlap.copies]
        if self.contradictions:
            sentences.append(
                f"{self.contradictions:,} examples of train and val have the inputs of another, but not its {target}"
            )
        return tuple(sentences)


def describe_duplicates(splits: Splits) -> tuple[str, ...]:
    """Return sentences about duplicate examples; none if equal inputs are expected."""
    duplicates = find_duplicates(splits)
    if not duplicates or is_coarse(splits.train):
        return ()
    return duplicates.describe("label" if splits.info.class_names else "target")


def find_duplicates(splits: Splits) -> Duplicates:
    """Find examples of val and test that also occur in train, and examples of train and val that contradict each other.

    Candidates are found by a 64-bit hash of each row and then compared.
    """
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    sizes = np.cumsum([len(split) for split in parts.values()])
    inputs = _number_rows([split.stored.cpu().numpy() for split in parts.values()])
    if len(inputs) and inputs.max() == len(inputs) - 1:  # all rows differ
        return Duplicates(
            tuple(Overlap(name, len(parts[name]), 0, 0) for name in ("val", "test") if len(parts[name])), 0
        )
    targets = _number_rows([split.targets.cpu().numpy().reshape(len(split), -1) for split in parts.values()])
    examples = inputs * len(inputs) + targets
    rows = dict(zip(parts, np.split(np.arange(len(inputs)), sizes[:-1]), strict=True))

    def overlap(name: str) -> Overlap:
        copies = np.isin(inputs[rows[name]], inputs[rows["train"]])
        same = np.isin(examples[rows[name]], examples[rows["train"]])
        return Overlap(name, len(rows[name]), int(copies.sum()), int(same.sum()))

    seen = inputs[: sizes[1]]
    _, first = np.unique(examples[: sizes[1]], return_index=True)
    n_targets = np.bincount(seen[first], minlength=len(inputs))  # number of distinct targets of each distinct input
    contradictions = int((n_targets[seen] > 1).sum())
    return Duplicates(tuple(overlap(name) for name in ("val", "test") if len(rows[name])), contradictions)


def is_coarse(split: Split) -> bool:
    """Return whether so few inputs are possible that duplicates are expected, e.g. the answers to three questions."""
    n_possible = 1
    for column in split.stored.cpu().numpy().T:
        n_possible *= len(np.unique(column))
        if n_possible * _CROWDED > len(split):
            return False
    return True


def _number_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Number the rows of several arrays with the same columns so that rows with the same number are equal.

    With N rows in total, all numbers are below N, and the largest is N − 1 if all rows differ.
    """
    hashes = np.concatenate([_hash_rows(part) for part in parts])
    ordered = np.sort(hashes)
    if (ordered[1:] != ordered[:-1]).all():  # the usual case, found in a tenth of the time
        return np.arange(len(hashes))
    order = np.argsort(hashes, kind="stable")
    is_new = np.ones(len(hashes), dtype=bool)
    is_new[1:] = hashes[order[1:]] != hashes[order[:-1]]
    first = np.maximum.accumulate(np.where(is_new, np.arange(len(order)), 0))  # place of the first row with this hash
    suspects = ~is_new
    is_new[suspects] = ~_are_equal(parts, order[suspects], order[first[suspects]])  # new numbers on hash collisions
    distinct = np.cumsum(is_new) - 1
    numbers = np.empty(len(hashes), dtype=np.int64)
    numbers[order] = np.where(is_new, distinct, distinct[first])
    return numbers


def _are_equal(parts: Sequence[np.ndarray], rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return whether each of `rows` equals its counterpart in `others`; indices count the rows of all parts."""
    ends = np.cumsum([len(part) for part in parts])
    equal = np.zeros(len(rows), dtype=bool)
    sides = [(np.searchsorted(ends, side, side="right"), side) for side in (rows, others)]
    for i, left in enumerate(parts):
        for j, right in enumerate(parts):
            chosen = np.flatnonzero((sides[0][0] == i) & (sides[1][0] == j))
            step = max(1, _BLOCK // max(1, left[:1].nbytes))
            for start in range(0, len(chosen), step):
                block = chosen[start : start + step]
                a, b = left[rows[block] - ends[i] + len(left)], right[others[block] - ends[j] + len(right)]
                equal[block] = (a == b).all(1)
    return equal


def _hash_rows(values: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of each row, equal for equal numbers: −0 has the hash of 0."""
    hashes = np.zeros(len(values), dtype=np.uint64)
    n_words = -(-values[:1].nbytes // 8) if len(values) else 0
    weights = np.random.default_rng(0).integers(0, 2**63, n_words, dtype=np.uint64) * 2 + 1
    step = max(1, _BLOCK // max(8, 8 * n_words))

    def hash_block(start: int) -> None:
        block = np.ascontiguousarray(values[start : start + step])
        block = block + 0.0 if block.dtype.kind == "f" else block
        words = np.zeros((len(block), 8 * n_words), dtype=np.uint8)
        words[:, : block[:1].nbytes] = block.view(np.uint8).reshape(len(block), -1)
        mixed = words.view(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)  # so that the high bits of every product affect the low bits of the sum
        hashes[start : start + step] = mixed @ weights

    for _ in map_ahead(hash_block, ((start,) for start in range(0, len(values), step))):
        pass
    return hashes
