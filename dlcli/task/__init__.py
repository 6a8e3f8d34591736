"""Tasks: loss, metrics and predictions of classification and regression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dlcli.config.schema import Config, CrossEntropyLoss, MseLoss
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo
from dlcli.errors import ConfigError, Problem
from dlcli.task.base import Task
from dlcli.task.classification import Classification
from dlcli.task.regression import Regression

__all__ = ["Classification", "Regression", "Task", "build_task"]


def build_task(config: Config, info: DataInfo, target_scaling: Scaling, labels: Tensor | None = None) -> Task:
    """Return the task of a config for this data.

    Args:
        config: Config; `loss` and `model.head` define the task.
        info: Description of the data.
        target_scaling: Scaling of the targets.
        labels: Training labels, for balanced class weights; None leaves the weights out, which only changes the loss.

    Raises:
        ConfigError: If the number of class weights differs from the number of classes.
    """
    loss = config.loss
    if config.task == "regression":
        assert not isinstance(loss, CrossEntropyLoss), "config.rules rejects such configs"
        return Regression(loss, target_scaling)
    assert isinstance(loss, (CrossEntropyLoss, MseLoss)), "config.rules rejects such configs"
    weights = _class_weights(loss, info, labels) if isinstance(loss, CrossEntropyLoss) else None
    return Classification(loss, info.out_features, weights, config.model.head)


def _class_weights(loss: CrossEntropyLoss, info: DataInfo, labels: Tensor | None) -> Tensor | None:
    weights = loss.class_weights
    if weights is None:
        return None
    if isinstance(weights, str):  # balanced, as in scikit-learn: n / (k · count)
        return None if labels is None else _balanced_weights(labels, info.out_features)
    _check_length(weights, info)
    return torch.tensor(weights)


def _balanced_weights(labels: Tensor, k: int) -> Tensor:
    return len(labels) / (k * torch.bincount(labels, minlength=k).clamp(min=1))


def _check_length(weights: Sequence[float], info: DataInfo) -> None:
    if len(weights) != info.out_features:
        message = f"loss.class_weights has {len(weights)} entries, {info.name} has {info.out_features} classes"
        hint = f"set one weight for each of {', '.join(info.class_names)}"
        raise ConfigError("the config", [Problem("the config", None, None, "loss.class_weights", message, hint)])
