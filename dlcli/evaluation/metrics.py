"""Evaluation of a model on a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.errors import DataError
from dlcli.evaluation.classification import classification_metrics, per_class_metrics
from dlcli.evaluation.regression import residual_quantiles
from dlcli.runs.trained_run import TrainedRun
from dlcli.task import Task
from dlcli.training.evaluation import add_sums, evaluate_split


def evaluate_model(model: nn.Module, task: Task, split: Split, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the task's metrics over every example of the split, and `per_class` metrics for classification.

    Args:
        model: Model on the split's device.
        task: Task that defines the metrics.
        split: Examples scaled as in training.
        class_names: Names in the order of the labels; empty for regression.
    """
    return _name_metrics(task, evaluate_split(model, task, split), class_names)


def _name_metrics(task: Task, sums: dict[str, Tensor], class_names: Sequence[str]) -> dict[str, Any]:
    metrics: dict[str, Any] = dict(task.metrics(sums))
    if "confusion" in sums:
        metrics["per_class"] = per_class_metrics(sums["confusion"], class_names)
    return metrics


def evaluate_fully(run: TrainedRun) -> dict[str, Any]:
    """Return `evaluate_model` of the run's split, and all metrics computed from its single predictions.

    Raises:
        DataError: If a prediction is not a finite number.
    """
    predictions, truth = run.predictions, run.truth(run.split)
    if not predictions.isfinite().all():
        raise DataError(
            f"the model of {run.title} gives outputs that are not finite numbers",
            hint="train again with a lower learning rate: `dlcli train -c CONFIG optimizer.lr=LR`",
        )
    metrics = _name_metrics(run.task, add_sums(run.task, run.outputs), run.info.class_names)
    if run.info.task == "classification":
        return {**metrics, **classification_metrics(predictions, truth, run.info.class_names)}
    return {**metrics, "residual_quantiles": residual_quantiles(predictions, truth)}
