"""Classification metrics: accuracy, F1, calibration, confusion matrix and most uncertain examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from dlcli.evaluation.calibration import BINS, Reliability, measure_reliability
from dlcli.evaluation.split_interval import wilson_interval

PerClass: TypeAlias = dict[str, dict[str, float | None]]

_TOP_K = (2, 3, 5)
_SHOWN = 10  # number of most confused pairs, of most certain and of least certain examples


def classification_metrics(probs: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Return all metrics of predicted class probabilities; see `per_class_metrics` for classes without examples.

    Args:
        probs: P(class | x), float64 of shape (N, classes); the first of equally likely classes is the prediction.
        labels: int64 of shape (N,).
        class_names: Names in the order of the labels.

    Raises:
        ValueError: If N is 0.
    """
    if len(labels) == 0:
        raise ValueError("a split without examples has no metrics")
    preds = probs.argmax(1)
    confusion = count_confusion(labels, preds, len(class_names))
    per_class = per_class_metrics(confusion, class_names)
    reliability = measure_reliability(probs, labels)
    return {
        "accuracy": accuracy(probs, labels),
        "accuracy_interval": list(wilson_interval(int(confusion.trace()), len(labels))),
        "macro_f1": _macro(per_class, "f1"),
        "macro_precision": _macro(per_class, "precision"),
        "macro_recall": _macro(per_class, "recall"),
        "log_loss": log_loss(probs, labels),
        "brier_score": _brier_score(probs, labels),
        "ece": reliability.ece,
        "mean_entropy": _entropy(probs).mean().item(),
        "top_k": top_k_accuracy(probs, labels),
        "per_class": per_class,
        "confusion": {
            "classes": list(class_names),
            "counts": confusion.tolist(),
            "predicted_given_true": _fractions(confusion, confusion.sum(1, keepdim=True)),
            "true_given_predicted": _fractions(confusion, confusion.sum(0, keepdim=True)),
        },
        "most_confused": _most_confused(confusion, class_names),
        "most_certain": _most_certain(probs, labels, class_names),
        "least_certain": _least_certain(probs, labels, class_names),
        "reliability": _reliability_bins(reliability),
    }


def accuracy(probs: Tensor, labels: Tensor) -> float:
    """Return the fraction of examples whose most likely class is the true class."""
    return (probs.argmax(1) == labels).double().mean().item()


def log_loss(probs: Tensor, labels: Tensor) -> float:
    """Return the mean of −ln P(true class | x), with probabilities clipped at 2.2e-16 as in scikit-learn."""
    from sklearn import metrics

    return float(metrics.log_loss(labels.numpy(), probs.numpy(), labels=range(probs.shape[1])))


def _brier_score(probs: Tensor, labels: Tensor) -> float:
    """Return the mean over examples of Σ over classes of (p − y)² (Brier 1950), from 0 (best) to 2."""
    from sklearn import metrics

    classes = range(probs.shape[1])
    return float(metrics.brier_score_loss(labels.numpy(), probs.numpy(), labels=classes, scale_by_half=False))


def _reliability_bins(measured: Reliability) -> list[dict[str, float | None]]:
    """Return the example count, confidence and accuracy of each bin (low, high] of the highest probability."""
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    return _records(
        low=edges[:-1],
        high=edges[1:],
        examples=measured.counts,
        confidence=measured.confidence,
        accuracy=measured.accuracy,
    )


def _records(**columns: Tensor) -> list[dict[str, float | None]]:
    """Return one record per row of the columns; NaN, the result of 0 / 0, becomes None."""
    rows = zip(*(map(_defined, column.tolist()) for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def top_k_accuracy(probs: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the top-k accuracy for each k of 2, 3, 5 below the number of classes.

    The first of equally likely classes ranks highest, as in the prediction; scikit-learn ranks the last one highest.
    """
    ranked = probs.argsort(dim=1, descending=True, stable=True)
    hits = ranked == labels.unsqueeze(1)
    return {str(k): hits[:, :k].any(1).double().mean().item() for k in _TOP_K if k < probs.shape[1]}


def count_confusion(labels: Tensor, preds: Tensor, n_classes: int) -> Tensor:
    """Return the confusion matrix, rows true and columns predicted, int64 of shape (classes, classes)."""
    return torch.bincount(labels * n_classes + preds, minlength=n_classes**2).view(n_classes, n_classes)


def per_class_metrics(confusion: Tensor, class_names: Sequence[str]) -> PerClass:
    """Return precision, recall, F1 and support of each class.

    A class that is never predicted has no precision, and a class that never occurs has no recall: both are None, not 0.
    Macro averages leave these classes out.

    Args:
        confusion: Counts, shape (classes, classes), rows true, columns predicted.
        class_names: Names in the order of the rows.
    """
    hits, support, predicted = confusion.diag().double(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / (support + predicted)
    records = _records(precision=hits / predicted, recall=hits / support, f1=f1, support=support)
    return dict(zip(class_names, records, strict=True))


def _macro(per_class: PerClass, metric: str) -> float:
    values = [value for row in per_class.values() if (value := row[metric]) is not None]
    return torch.tensor(values, dtype=torch.float64).mean().item()  # a mean by torch is bit-identical to task.metrics


def _fractions(confusion: Tensor, total: Tensor) -> list[list[float | None]]:
    """Return counts as fractions of `total`; None where the total is 0."""
    return [[_defined(fraction) for fraction in row] for row in (confusion.double() / total).tolist()]


def _most_confused(confusion: Tensor, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the most frequent confusions with their counts and their shares of the examples of the true class."""
    support = confusion.sum(1).tolist()
    counts = [
        (count, i, j) for i, row in enumerate(confusion.tolist()) for j, count in enumerate(row) if i != j and count
    ]
    return [
        {"true": class_names[i], "predicted": class_names[j], "count": count, "share": count / support[i]}
        for count, i, j in sorted(counts, key=lambda entry: -entry[0])[:_SHOWN]
    ]


def _entropy(probs: Tensor) -> Tensor:
    """Return −Σ p ln p of each row, in nats."""
    entropy: Tensor = torch.special.entr(probs).sum(1)
    return entropy


def _most_certain(probs: Tensor, labels: Tensor, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the example with the lowest entropy of each predicted class, most certain first."""
    entropy, preds = _entropy(probs), probs.argmax(1)
    order = entropy.argsort(stable=True)
    first: dict[int, int] = {}
    for index, pred in zip(order.tolist(), preds[order].tolist(), strict=True):
        first.setdefault(pred, index)
    return _describe_examples(torch.tensor(list(first.values())[:_SHOWN]), probs, labels, class_names)


def _least_certain(probs: Tensor, labels: Tensor, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the examples with the highest entropy."""
    chosen = _entropy(probs).argsort(descending=True, stable=True)[:_SHOWN]
    return _describe_examples(chosen, probs, labels, class_names)


def _describe_examples(
    chosen: Tensor, probs: Tensor, labels: Tensor, class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return index, predicted class, label, probability of the predicted class and entropy of the chosen examples."""
    entropy = _entropy(probs)
    confidence, preds = probs[chosen].max(1)
    columns = (chosen, preds, labels[chosen], confidence, entropy[chosen])
    return [
        {"index": index, "pred": class_names[pred], "label": class_names[label], "probability": p, "entropy": h}
        for index, pred, label, p, h in zip(*(column.tolist() for column in columns), strict=True)
    ]
