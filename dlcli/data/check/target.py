"""Rules about the target: columns that give it away, rare classes, classes that a split lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlcli.data.check.finding import Case, DataFinding, listed
from dlcli.data.tables.table import Column

_LEAST_R2 = 0.98
# Most errors of a column that gives the target away: as a fraction of the examples, and as a fraction of the errors of
# always predicting the most frequent class.
_MOST_ERRORS, _OF_MAJORITY = 0.01, 0.1
_LEAST_VAL = 10  # least number of val examples; nine may be right by chance
_PER_LEAF = 5  # least average number of training examples per leaf of a tree
_MOST_EXAMPLES = 20_000  # more examples take longer and do not change a finding
_RARE = 10  # a class with fewer training examples is rare
_LEAVES = 256  # leaves of a tree that predicts numbers


@dataclass(frozen=True)
class Outcome:
    """Values to predict.

    Attributes:
        name: Name of the target.
        values: Class of each example, or number, of shape (n,).
        is_class: Whether the values are classes.
    """

    name: str
    values: np.ndarray
    is_class: bool


def gives_away(case: Case, outcome: Outcome) -> DataFinding | None:
    """Report a column that predicts the target by itself nearly without errors, measured on val.

    Without enough examples in val, every second training example takes their place.
    """
    has_val = len(case.val) >= _LEAST_VAL
    train, val = (case.train, case.val) if has_val else (case.train[::2], case.train[1::2])
    train, val = _thinned(train), _thinned(val)
    if case.is_target or len(val) < _LEAST_VAL or len(case.distinct) < 2 or case.column.missing[train].all():
        return None
    place = "val" if has_val else "every second training example"
    rows, judge = np.concatenate([train, val]), _judge_classes if outcome.is_class else _judge_numbers
    evidence = judge(case.column.take(rows), outcome.values[rows], len(train))
    if not evidence:
        return None
    statement = f"The column gives the target {outcome.name} away."
    advice = case.ignoring if case.left_out else f"if it is not known before the target is: {case.ignoring}"
    return case.report("gives-target-away", statement, f"alone, it reaches {evidence} on {place}", advice)


def _thinned(rows: np.ndarray) -> np.ndarray:
    return rows[:: max(1, -(-len(rows) // _MOST_EXAMPLES))]


def _judge_classes(column: Column, labels: np.ndarray, n: int) -> str:
    """Return the accuracy on val if a column predicts the classes, else ""; the first n examples are in train."""
    n_classes = int(labels.max()) + 1
    majority = np.bincount(labels[:n], minlength=n_classes).argmax()
    unusual = labels != majority
    most_errors = min(_MOST_ERRORS * n, _OF_MAJORITY * unusual[:n].sum())
    leaves = max(2, min(2 * n_classes + 4, n // _PER_LEAF))
    if column.is_numeric and _least_errors(column.values[:n], labels[:n], leaves) > most_errors:
        return ""
    wrong = _predict_classes(column, labels, n, n_classes, leaves) != labels
    errors, val_errors = int(wrong[:n].sum()), int(wrong[n:].sum())
    if errors > most_errors:
        return ""
    if val_errors > min(_MOST_ERRORS * len(wrong[n:]), _OF_MAJORITY * unusual[n:].sum()) + 1:
        return ""
    accuracy, always = 1 - wrong[n:].mean(), 1 - unusual[n:].mean()
    return f"accuracy {accuracy:.3f} (always the most frequent class: {always:.3f})"


def _least_errors(values: np.ndarray, labels: np.ndarray, leaves: int) -> float:
    """Return a lower bound of the errors of a tree. It excludes nearly all columns without fitting a tree.

    A tree predicts the same class for equal values. In the order of the values, its predictions change less often than
    it has leaves, so they must be wrong where the labels change more often. One error accounts for at most two changes.
    """
    known = ~np.isnan(values)
    n_classes = int(labels.max()) + 1
    places = np.unique(values[known], return_inverse=True)[1]
    pairs, counts = np.unique(places * n_classes + labels[known], return_counts=True)
    starts = np.unique(pairs // n_classes, return_index=True)[1]
    wrong = np.add.reduceat(counts, starts) - np.maximum.reduceat(counts, starts)
    changes = np.count_nonzero(np.diff(pairs[starts][wrong == 0] % n_classes))
    return int(wrong.sum()) + max(0, int(changes) - leaves) / 2


def _predict_classes(column: Column, labels: np.ndarray, n: int, n_classes: int, leaves: int) -> np.ndarray:
    """Return the class that a column alone predicts for each example, learned from the first n."""
    if column.is_numeric:
        from sklearn.tree import DecisionTreeClassifier

        x = _ranks(column.values)[:, None]
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0).fit(x[:n], labels[:n])
        return np.asarray(tree.predict(x))
    counts = np.zeros((len(column.categories) + 1, n_classes), dtype=np.int64)  # the last row is for missing values
    np.add.at(counts, (column.values[:n], labels[:n]), 1)
    counts[counts.sum(1) == 0] = counts.sum(0)
    return np.asarray(counts.argmax(1)[column.values])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values; NaN stays NaN. Trees use float32, which rounds ranks less than values."""
    return np.where(np.isnan(values), np.nan, np.unique(values, return_inverse=True)[1])


def _judge_numbers(column: Column, values: np.ndarray, n: int) -> str:
    """Return R² on val if a column predicts the numbers, else ""; the first n examples are in train."""
    val = values[n:]
    total = np.square(val - val.mean()).sum()
    if not 0 < total < np.inf:
        return ""
    r2 = max(1 - np.square(val - predicted[n:]).sum() / total for predicted in _predict_numbers(column, values, n))
    return f"R² {r2:.3f}" if r2 >= _LEAST_R2 else ""


def _predict_numbers(column: Column, values: np.ndarray, n: int) -> Sequence[np.ndarray]:
    """Return predictions from a column alone, learned from the first n values: by tree and by line, or by category."""
    mean = values[:n].mean()
    if column.is_numeric:
        from sklearn.tree import DecisionTreeRegressor

        x = np.where(column.missing, column.values[:n][~column.missing[:n]].mean(), column.values)
        ranks = _ranks(x)[:, None]
        tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, random_state=0).fit(ranks[:n], values[:n])
        slope = np.cov(x[:n], values[:n])[0, 1] / (x[:n].var(ddof=1) or 1.0)
        return tree.predict(ranks), mean + slope * (x - x[:n].mean())
    sums, counts = np.zeros(len(column.categories) + 1), np.zeros(len(column.categories) + 1)
    np.add.at(sums, column.values[:n], values[:n])
    np.add.at(counts, column.values[:n], 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    return (means[column.values],)


def class_findings(target: str, names: Sequence[str], labels: Sequence[np.ndarray]) -> list[DataFinding]:
    """Return findings about classes with few training examples, and classes that val or test lack.

    Args:
        target: Name of the target.
        names: Classes in label order.
        labels: Classes of the training, validation and test examples.
    """
    counts = [np.bincount(part, minlength=len(names)) for part in labels]
    findings = []
    if rare := [f"{name!r} ({n:,})" for name, n in zip(names, counts[0], strict=True) if n < _RARE]:
        evidence = f"training examples of {', '.join(rare[:5])}" + (
            f" and {len(rare) - 5:,} more" if len(rare) > 5 else ""
        )
        statement = (
            f"{'A class has' if len(rare) == 1 else f'{len(rare)} classes have'} fewer than {_RARE} training examples."
        )
        advice = "collect more examples, or leave the class out"
        findings.append(DataFinding("rare-class", target, statement, evidence, advice))
    for part, count in zip(("val", "test"), counts[1:], strict=True):
        missing = [name for name, n in zip(names, count, strict=True) if not n]
        if missing and count.sum():
            statement = f"{part} has no example of some classes, so that nothing is measured for them."
            advice = f"collect more examples, or raise data.{part}_fraction"
            findings.append(DataFinding("missing-class", target, statement, listed(missing), advice))
    return findings
