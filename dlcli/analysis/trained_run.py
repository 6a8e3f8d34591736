"""Trained run in memory: config, logs, data and model, as input of plots, reports and diagnoses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.task import Task
from dlcli.training.evaluation import compute_outputs
from dlcli.training.events import Trace

SplitName: TypeAlias = Literal["train", "val", "test"]


@dataclass(frozen=True)
class TrainedRun:
    """Config, logs, data and model of a run.

    Attributes:
        title: Run folder, for display.
        config: Config of the run.
        rows: Rows of `metrics.jsonl`, one per epoch.
        traces: Traces of the model's layers by epoch.
        splits: Data, scaled as in training.
        model: Model with the parameters of a checkpoint, on the splits' device.
        task: Task the model was trained for.
        epoch: Epoch of the checkpoint, counted from 1; its row is `rows[epoch - 1]` if it was logged.
        status: How training ended: finished, stopped early, interrupted, diverged or failed.
        split_name: Name of the split that plots and metrics use.
    """

    title: str
    config: Config
    rows: Sequence[Mapping[str, float | int]]
    traces: Mapping[int, Trace]
    splits: Splits
    model: nn.Sequential
    task: Task
    epoch: int
    status: str
    split_name: SplitName

    @property
    def info(self) -> DataInfo:
        """Description of the data."""
        return self.splits.info

    @property
    def split(self) -> Split:
        """Examples that plots and metrics use."""
        return self.examples(self.split_name)

    def examples(self, name: SplitName) -> Split:
        """Return a split by its name."""
        return {"train": self.splits.train, "val": self.splits.val, "test": self.splits.test}[name]

    @cached_property
    def predictions(self) -> Tensor:
        """Predictions for `split`, see `predict`."""
        return self.predict(self.split)

    def predict(self, split: Split) -> Tensor:
        """Return P(class | x), or values in the target's original unit: float64 on the CPU, shape (N, out_features)."""
        return torch.cat([self.task.predictions(outputs) for outputs, _ in compute_outputs(self.model, split)])

    def truth(self, split: Split) -> Tensor:
        """Return labels, int64 of shape (N,), or targets in their original unit, float64 of shape (N, out_features)."""
        targets = split.targets.cpu()
        return targets if self.info.task == "classification" else self.splits.target_scaling.invert(targets.double())

    def inputs(self, split: Split) -> Tensor:
        """Return the inputs (pixels or features) in their original unit, float64 on the CPU."""
        return self.splits.input_scaling.invert(split.inputs.cpu().double())
