"""Tasks: loss, metrics and predictions of classification and regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlcli.config.schema import Config, CrossEntropyLoss, MseLoss
from dlcli.data.splits import DataInfo, Splits
from dlcli.errors import ConfigError, Problem
from dlcli.task.base import Task
from dlcli.task.classification import Classification
from dlcli.task.regression import Regression

__all__ = ["Classification", "Regression", "Task", "build_task"]


def build_task(config: Config, splits: Splits) -> Task:
    """Return the task of a config for this data.

    Raises:
        ConfigError: If the number of class weights differs from the number of classes.
    """
    loss = config.loss
    if config.task == "regression":
        assert not isinstance(loss, CrossEntropyLoss), "config.rules rejects such configs"
        return Regression(loss, splits.target_scaling)
    assert isinstance(loss, (CrossEntropyLoss, MseLoss)), "config.rules rejects such configs"
    weights = _class_weights(loss, splits.info, splits.train.targets) if isinstance(loss, CrossEntropyLoss) else None
    return Classification(loss, splits.info.out_features, weights, config.model.head)


def _class_weights(loss: CrossEntropyLoss, info: DataInfo, labels: Tensor) -> Tensor | None:
    weights = loss.class_weights
    if weights is None:
        return None
    k = info.out_features
    if isinstance(weights, str):  # balanced, as in scikit-learn: n / (k · count)
        counts = torch.bincount(labels, minlength=k).clamp(min=1)
        return len(labels) / (k * counts)
    _check_length(weights, info)
    return torch.tensor(weights)


def _check_length(weights: Sequence[float], info: DataInfo) -> None:
    if len(weights) != info.out_features:
        message = f"loss.class_weights has {len(weights)} entries, {info.name} has {info.out_features} classes"
        hint = f"set one weight for each of {', '.join(info.class_names)}"
        raise ConfigError("the config", [Problem("the config", None, None, "loss.class_weights", message, hint)])
