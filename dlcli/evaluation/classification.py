"""Figures of class probabilities: how often right, how sure, how rightly sure, and what is taken for what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from dlcli.evaluation.calibration import BINS, Reliability, measure_reliability

PerClass: TypeAlias = dict[str, dict[str, float | int | None]]

_TOP_K = (2, 3, 5)
_SHOWN = 10  # pairs of classes, and examples at either end of certainty
_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %: an interval of 95 %


def classification_metrics(probs: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Return all that can be said of predicted distributions and the true classes.

    A class never predicted has no precision, one that never occurs no recall: None, not 0. Macro figures are means over
    the classes that have the figure.

    Args:
        probs: P(class | x), float64 of shape (N, classes); the prediction is the first of the most likely classes.
        labels: int64 of shape (N,).
        class_names: In the order of the labels.

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
        "brier_score": brier_score(probs, labels),
        "ece": reliability.ece,
        "mean_entropy": _entropy(probs).mean().item(),
        "top_k": top_k_accuracy(probs, labels),
        "per_class": per_class,
        "confusion": {
            "classes": list(class_names),
            "counts": confusion.tolist(),
            "predicted_given_true": _shares(confusion, confusion.sum(1, keepdim=True)),
            "true_given_predicted": _shares(confusion, confusion.sum(0, keepdim=True)),
        },
        "most_confused": _most_confused(confusion, class_names),
        "most_certain": _by_certainty(probs, labels, class_names, descending=False),
        "least_certain": _by_certainty(probs, labels, class_names, descending=True),
        "reliability": reliability_bins(reliability),
    }


def accuracy(probs: Tensor, labels: Tensor) -> float:
    """Return the share of examples whose most likely class is the true one."""
    return (probs.argmax(1) == labels).double().mean().item()


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, hits / n (Wilson 1927): it stays within 0..1, also where all are hits."""
    share, z2 = hits / n, _NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_QUANTILE / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def log_loss(probs: Tensor, labels: Tensor) -> float:
    """Return the mean of −ln P(true class | x); as in scikit-learn, no probability counts as less than 2.2e-16."""
    from sklearn import metrics

    return float(metrics.log_loss(labels.numpy(), probs.numpy(), labels=range(probs.shape[1])))


def brier_score(probs: Tensor, labels: Tensor) -> float:
    """Return the mean over examples of Σ over classes of (p − y)² (Brier 1950): from 0, the best, to 2."""
    from sklearn import metrics

    classes = range(probs.shape[1])
    return float(metrics.brier_score_loss(labels.numpy(), probs.numpy(), labels=classes, scale_by_half=False))


def reliability_bins(measured: Reliability) -> list[dict[str, float | int | None]]:
    """Return each bin (low, high] of the top probability: how many examples, how sure and how often right they are."""
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64).tolist()
    columns = (measured.counts, measured.confidence, measured.accuracy)
    return [
        {
            "low": low,
            "high": high,
            "examples": n,
            "confidence": confidence if n else None,
            "accuracy": accuracy if n else None,
        }
        for low, high, n, confidence, accuracy in zip(
            edges[:-1], edges[1:], *(one.tolist() for one in columns), strict=True
        )
    ]


def top_k_accuracy(probs: Tensor, labels: Tensor) -> dict[str, float]:
    """Return, for k = 2, 3, 5 below the number of classes, how often the truth is among the k most likely classes.

    Of equally likely classes the first counts as more likely, as in the prediction itself; for scikit-learn, the
    last.
    """
    ranked = probs.argsort(dim=1, descending=True, stable=True)
    found = ranked == labels.unsqueeze(1)
    return {str(k): found[:, :k].any(1).double().mean().item() for k in _TOP_K if k < probs.shape[1]}


def count_confusion(labels: Tensor, preds: Tensor, n_classes: int) -> Tensor:
    """Return how often each class (row) was taken for each (column), int64 of shape (classes, classes)."""
    return torch.bincount(labels * n_classes + preds, minlength=n_classes**2).view(n_classes, n_classes)


def per_class_metrics(confusion: Tensor, class_names: Sequence[str]) -> PerClass:
    """Return precision, recall, F1 and support of each class.

    A class never predicted has no precision, one that never occurs no recall: None, not 0.

    Args:
        confusion: Counts, shape (classes, classes), rows true, columns predicted.
        class_names: In the order of the rows.
    """
    hits = confusion.diag().tolist()
    support, predicted = confusion.sum(1).tolist(), confusion.sum(0).tolist()
    return {
        name: {
            "precision": hits[i] / predicted[i] if predicted[i] else None,
            "recall": hits[i] / support[i] if support[i] else None,
            "f1": 2 * hits[i] / (support[i] + predicted[i]) if support[i] + predicted[i] else None,
            "support": support[i],
        }
        for i, name in enumerate(class_names)
    }


def _macro(per_class: PerClass, figure: str) -> float:
    known = [value for one in per_class.values() if (value := one[figure]) is not None]
    return torch.tensor(known, dtype=torch.float64).mean().item()  # in the bits of task.metrics


def _shares(confusion: Tensor, whole: Tensor) -> list[list[float | None]]:
    """Return counts as shares of `whole`; None where there is nothing to share."""
    shares = confusion.double() / whole
    return [[None if math.isnan(share) else share for share in row] for row in shares.tolist()]


def _most_confused(confusion: Tensor, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pairs of classes most often confused, with their share of the true class."""
    support = confusion.sum(1).tolist()
    counts = [
        (count, i, j) for i, row in enumerate(confusion.tolist()) for j, count in enumerate(row) if i != j and count
    ]
    return [
        {"true": class_names[i], "predicted": class_names[j], "count": count, "share": count / support[i]}
        for count, i, j in sorted(counts, key=lambda one: -one[0])[:_SHOWN]
    ]


def _entropy(probs: Tensor) -> Tensor:
    """Return −Σ p ln p of each row, in nats."""
    entropy: Tensor = torch.special.entr(probs).sum(1)
    return entropy


def _by_certainty(
    probs: Tensor, labels: Tensor, class_names: Sequence[str], *, descending: bool
) -> list[dict[str, Any]]:
    """Return the examples of the least or, descending, of the greatest entropy."""
    entropy = _entropy(probs)
    chosen = entropy.argsort(descending=descending, stable=True)[:_SHOWN]
    confidence, preds = probs[chosen].max(1)
    columns = (chosen, preds, labels[chosen], confidence, entropy[chosen])
    return [
        {"index": index, "pred": class_names[pred], "label": class_names[label], "probability": p, "entropy": h}
        for index, pred, label, p, h in zip(*(column.tolist() for column in columns), strict=True)
    ]
