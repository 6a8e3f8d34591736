"""How good a model is on a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.task import Task
from dlcli.training.evaluation import evaluate_split


def evaluate_model(model: nn.Module, task: Task, split: Split, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the task's metrics over every example of the split, and `per_class` figures where there are classes.

    Args:
        model: On the split's device.
        task: What to measure.
        split: Scaled as in training.
        class_names: In the order of the labels; empty for regression.
    """
    sums = evaluate_split(model, task, split)
    metrics: dict[str, Any] = dict(task.metrics(sums))
    if "confusion" in sums:
        metrics["per_class"] = per_class_metrics(sums["confusion"], class_names)
    return metrics


def per_class_metrics(confusion: Tensor, class_names: Sequence[str]) -> dict[str, dict[str, float | int | None]]:
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
