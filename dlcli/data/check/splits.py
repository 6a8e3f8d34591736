"""Rules that compare the splits: duplicate examples, and columns that differ between train and val."""

from __future__ import annotations

import math

import numpy as np

from dlcli.data.check.finding import Case, DataFinding, listed
from dlcli.data.duplicates import Duplicates

_CHANCE = 1e-4  # largest probability that any column of a table is reported by chance
_LEAST = 0.1  # least difference of fractions, or distance of distributions, to report
_SIGMAS = 6.0


def duplicate_findings(duplicates: Duplicates, target: str, word: str) -> list[DataFinding]:
    """Return findings about copies of training examples in val and test, and about contradictions.

    Args:
        duplicates: Duplicates in data where none are expected.
        target: Name of the target.
        word: Word for the predicted quantity, `label` or `target`.
    """
    findings = []
    copies = [overlap.describe(word) for overlap in duplicates.overlaps if overlap.same_label]
    if copies:
        statement = "Copies of training examples occur in other splits: metrics measured there reward memorization."
        advice = "delete the duplicates, or keep them in one split: data.group=COLUMN"
        findings.append(DataFinding("copies", "", statement, "; ".join(copies), advice))
    if duplicates.contradictions:
        evidence = (
            f"{duplicates.contradictions:,} examples of train and val have the inputs of another, but not its {word}"
        )
        statement = f"Examples with equal inputs differ in {target}."
        advice = "correct the wrong ones, or add a column that tells them apart"
        findings.append(DataFinding("contradictions", target, statement, evidence, advice))
    return findings


def differs(case: Case, n_columns: int) -> DataFinding | None:
    """Report a column whose values differ between train and val.

    Numbers are compared by the Kolmogorov–Smirnov distance d of n training and m validation values; the probability of
    a distance of at least d by chance is below 2 exp(−2 d² n m / (n + m)). Categories are compared by their fractions.
    """
    if len(case.train) < 10 or len(case.val) < 10:
        return None
    train, val = case.column.take(case.train), case.column.take(case.val)
    evidence = _differing_fraction("missing values", train.missing, val.missing)
    if not evidence and case.column.is_numeric:
        evidence = _differing_numbers(train.values[~train.missing], val.values[~val.missing], n_columns)
    elif not evidence:
        evidence = _differing_categories(case, train.values, val.values)
    if not evidence:
        return None
    advice = "draw val from the same examples as train, unless the model will be used on such data"
    return case.report("train-val-differ", "Train and val differ.", evidence, advice)


def _differing_numbers(train: np.ndarray, val: np.ndarray, n_columns: int) -> str:
    n, m = len(train), len(val)
    if not n or not m:
        return ""
    train, val = np.sort(train), np.sort(val)
    points = min(train, val, key=len)  # between points, one distribution is constant and the other monotonic
    distance = max(
        float(np.abs(np.searchsorted(train, points, side) / n - np.searchsorted(val, points, side) / m).max())
        for side in ("left", "right")
    )
    by_chance = 2 * math.exp(-2 * distance**2 * n * m / (n + m))
    if by_chance * n_columns > _CHANCE or distance < _LEAST:
        return ""
    medians = f"median {np.median(train):.4g} in train, {np.median(val):.4g} in val"
    return f"{medians} (Kolmogorov–Smirnov distance {distance:.2f})"


def _differing_categories(case: Case, train: np.ndarray, val: np.ndarray) -> str:
    names = case.column.categories
    before, after = (np.bincount(codes[codes >= 0], minlength=len(names)) for codes in (train, val))
    new = np.flatnonzero((before == 0) & (after > 0))
    if len(new) and not case.is_target:
        count = f"{after[new].sum():,} of {len(val):,}"
        return f"val has categories that train lacks, in {count} examples: {listed([names[code] for code in new])}"
    for code in np.argsort(-np.abs(before / max(1, before.sum()) - after / max(1, after.sum())))[:1]:
        return _differing_fraction(repr(names[code]), train == code, val == code)
    return ""


def _differing_fraction(what: str, train: np.ndarray, val: np.ndarray) -> str:
    p, q, both = train.mean(), val.mean(), np.concatenate([train, val]).mean()
    error = math.sqrt(both * (1 - both) * (1 / len(train) + 1 / len(val)))
    if abs(p - q) < _LEAST or abs(p - q) < _SIGMAS * error:
        return ""
    return f"{what}: {100 * p:.3g} % of train, {100 * q:.3g} % of val"
