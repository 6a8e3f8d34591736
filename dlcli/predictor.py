"""Predictor: model, task and scaling from a checkpoint alone, for inputs in their original unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import ValidationError
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split
from dlcli.errors import DataError, UsageError
from dlcli.model import build_mlp
from dlcli.runs.checkpoint import Checkpoint
from dlcli.task import Task, build_task
from dlcli.training.evaluation import compute_outputs
from dlcli.training.isolation import isolated_function


@dataclass(frozen=True)
class Predictor:
    """Trained model with everything that turns inputs into predictions; it needs no data set.

    Attributes:
        model: Model on the CPU with the parameters of the checkpoint.
        task: Task that turns outputs into predictions.
        info: Description of the data: names of features, classes and target.
        input_scaling: Scaling of the inputs, as in training.
    """

    model: nn.Sequential
    task: Task
    info: DataInfo
    input_scaling: Scaling

    @isolated_function
    def predict(self, inputs: ArrayLike) -> Tensor:
        """Return predictions for new examples.

        Args:
            inputs: Features in the order of `info.feature_names`, or pixels, in the unit of the data set;
                shape (N, in_features), or (N, ...) with as many values per example.

        Returns:
            P(class | x), or values in the target's unit: float64, shape (N, out_features).

        Raises:
            UsageError: If the inputs are not finite numbers or have another number of values per example.
        """
        values = self._check(inputs)
        dtype = next(self.model.parameters()).dtype
        # As the training data: tables are scaled in float64, all other data in float32.
        scaled = self.input_scaling.apply(values if self.info.columns else values.float()).to(dtype)
        split = Split(scaled, scaled.new_zeros(len(scaled)))
        return torch.cat([self.task.predictions(outputs) for outputs, _ in compute_outputs(self.model, split)])

    def _check(self, inputs: ArrayLike) -> Tensor:
        try:
            values = torch.as_tensor(np.asarray(inputs, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise UsageError(f"the inputs are not an array of numbers: {error}") from error
        features = self.info.in_features
        if values.dim() < 2 or values[0].numel() != features:
            message = f"the inputs have shape {tuple(values.shape)}, the model expects (N, {features})"
            raise UsageError(message, hint=f"features in order: {', '.join(self.info.feature_names) or 'pixels'}")
        if not values.isfinite().all():
            raise UsageError("the inputs contain a value that is not a finite number")
        return values.reshape(len(values), features)


def build_predictor(checkpoint: Checkpoint) -> Predictor:
    """Return the predictor of a checkpoint.

    Raises:
        DataError: If the settings in the checkpoint are not valid.
    """
    config, info = _config(checkpoint.settings), checkpoint.info
    dtype = checkpoint.parameters["0.weight"].dtype
    model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype)
    model.load_state_dict(dict(checkpoint.parameters))
    return Predictor(model, build_task(config, info, checkpoint.target_scaling), info, checkpoint.input_scaling)


def _config(settings: Mapping[str, Any]) -> Config:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, name = key.split(".")
        section = nested
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = tuple(value) if isinstance(value, list) else value
    try:
        return Config.model_validate(nested)
    except ValidationError as error:
        raise DataError("the settings in the checkpoint are not valid", hint="train again") from error
