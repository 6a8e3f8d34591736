"""A trained run in memory: what its pictures, its report and its diagnosis are made of."""

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
    """What a run was, what it logged and what its model says.

    Attributes:
        title: The run's folder, for people.
        config: Its settings.
        rows: `metrics.jsonl`, a row an epoch.
        traces: What was seen inside the model, by epoch.
        splits: Its data, scaled as in training.
        model: With the parameters of a checkpoint, on the splits' device.
        task: What it was trained for.
        epoch: The checkpoint's, counted from 1; its row is `rows[epoch - 1]`, where the log has it.
        status: How training ended: finished, stopped early, interrupted, diverged or failed.
        split_name: The split that pictures and figures are of.
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
        """What is known about the data."""
        return self.splits.info

    @property
    def split(self) -> Split:
        """The examples that pictures and figures are of."""
        return self.examples(self.split_name)

    def examples(self, name: SplitName) -> Split:
        """Return a split by its name."""
        return {"train": self.splits.train, "val": self.splits.val, "test": self.splits.test}[name]

    @cached_property
    def predictions(self) -> Tensor:
        """What the model says of `split`: see `predict`."""
        return self.predict(self.split)

    def predict(self, split: Split) -> Tensor:
        """Return P(class | x), or values in the target's own unit: float64 on the CPU, shape (N, out_features)."""
        return torch.cat([self.task.predictions(outputs) for outputs, _ in compute_outputs(self.model, split)])

    def truth(self, split: Split) -> Tensor:
        """Return labels, int64 of shape (N,), or targets in their own unit, float64 of shape (N, out_features)."""
        targets = split.targets.cpu()
        return targets if self.info.task == "classification" else self.splits.target_scaling.invert(targets.double())

    def inputs(self, split: Split) -> Tensor:
        """Return the inputs in their own unit, float64 on the CPU: pixels, or features."""
        return self.splits.input_scaling.invert(split.inputs.cpu().double())
