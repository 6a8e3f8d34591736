"""Predictor: model, task and preprocessing from a checkpoint alone, without the data that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dlcli.config.schema import AnyData, Config, NpzData, TableData
from dlcli.data.encoding import ColumnInfo, Encoder
from dlcli.data.scaling import BYTES, Scaling
from dlcli.data.splits import DataInfo
from dlcli.errors import DataError
from dlcli.model import build_mlp
from dlcli.prediction.row_model import RowModel, row_parts
from dlcli.runs.checkpoint import Checkpoint
from dlcli.task import Task, build_task
from dlcli.training.threads import thread_count


@dataclass(frozen=True)
class Predictor:
    """Trained model with everything that turns raw values into predictions.

    Attributes:
        model: Model on the CPU with the parameters of the checkpoint.
        task: Task that turns outputs into predictions.
        info: Description of the data: names of columns, classes and target.
        input_scaling: Scaling of the inputs, as in training.
        target_scaling: Scaling of the targets.
        data: Data section of the config.
    """

    model: nn.Sequential
    task: Task
    info: DataInfo
    input_scaling: Scaling
    target_scaling: Scaling
    data: AnyData

    @cached_property
    def columns(self) -> tuple[ColumnInfo, ...]:
        """Columns that the model predicts from; () for pixels."""
        if self.info.columns:
            return self.info.columns
        return tuple(ColumnInfo(name, "number", fill=float("nan")) for name in self.info.feature_names)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns that the model predicts."""
        if not isinstance(self.data, TableData):
            return (self.info.target_name,)
        if isinstance(self.data, NpzData) and self.info.task == "regression" and self.info.out_features > 1:
            return tuple(f"{self.data.target}_{i + 1}" for i in range(self.info.out_features))
        return (self.data.target,) if isinstance(self.data.target, str) else self.data.target

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.columns)

    @cached_property
    def _row_model(self) -> RowModel:
        return RowModel(self.model)

    def predict_raw(self, raw: Tensor) -> Tensor:
        """Return predictions. For an example, they are the same to the last bit alone, among others and in any order.

        Args:
            raw: Raw values of the columns as `Encoder` reads them, float64 of shape (N, columns); for pixels, bytes or
                numbers of shape (N, in_features).

        Returns:
            P(class | x), or values in the target's unit: float64, shape (N, out_features).
        """
        predictions = torch.empty(len(raw), self.info.out_features, dtype=torch.float64)
        with thread_count(1):
            for part in row_parts(len(raw)):
                outputs = self._row_model.outputs(self.inputs_of(raw[part]))
                predictions[part] = self.task.predictions(outputs)[: part.stop - part.start]
        return predictions

    def inputs_of(self, raw: Tensor) -> Tensor:
        """Return the inputs of the model for raw values, encoded and scaled as in training."""
        # As in training, tables are scaled in float64, all other data in float32.
        values = self._encoder(raw) if self.info.columns else raw if raw.dtype == BYTES else raw.float()
        return self.input_scaling.apply(values).to(self._row_model.dtype)


def build_predictor(checkpoint: Checkpoint) -> Predictor:
    """Return the predictor of a checkpoint.

    Raises:
        DataError: If the settings in the checkpoint are not valid.
    """
    config, info = _config(checkpoint.settings), checkpoint.info
    dtype = checkpoint.parameters["0.weight"].dtype
    model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype)
    model.load_state_dict(dict(checkpoint.parameters))
    task = build_task(config, info, checkpoint.target_scaling)
    return Predictor(model.eval(), task, info, checkpoint.input_scaling, checkpoint.target_scaling, config.data)


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
