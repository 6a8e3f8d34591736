"""Trained runs in memory: config, logs, data and model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlcli.config.schema import Config, SyntheticRegressionData
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.data.synthetic import true_function
from dlcli.errors import DataError, UsageError
from dlcli.experiment import Experiment, Parent
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.folder import RunFolder
from dlcli.runs.run import Run
from dlcli.runs.run_data import build_run_experiment, check_data, load_run_config
from dlcli.task import Task
from dlcli.training.batches import count_batches
from dlcli.training.evaluation import compute_outputs
from dlcli.training.events import Trace

SplitName: TypeAlias = Literal["train", "val", "test"]
CheckpointName: TypeAlias = Literal["best", "last"]


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
        parent: Trained model that training started from; None if the initial parameters were drawn at random.
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
    parent: Parent | None = None

    @property
    def info(self) -> DataInfo:
        """Description of the data."""
        return self.splits.info

    @property
    def true_function(self) -> Callable[[Tensor], Tensor] | None:
        """Noise-free function of synthetic regression data: unscaled inputs (N, in_features) -> targets (N, 1)."""
        data = self.config.data
        if not isinstance(data, SyntheticRegressionData) or not self.info.formula:
            return None
        return true_function(data)[0].function

    @property
    def split(self) -> Split:
        """Split with the name `split_name`, which plots and metrics use."""
        return self.examples(self.split_name)

    def examples(self, name: SplitName) -> Split:
        """Return a split by its name."""
        return {"train": self.splits.train, "val": self.splits.val, "test": self.splits.test}[name]

    @cached_property
    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """Model outputs and targets of `split` in batches, on the model's device."""
        return list(compute_outputs(self.model, self.split))

    @cached_property
    def predictions(self) -> Tensor:
        """Predictions for `split`, see `predict`."""
        return self._predictions(self.outputs)

    def predict(self, split: Split) -> Tensor:
        """Return P(class | x), or values in the target's original unit: float64 on the CPU, shape (N, out_features)."""
        return self._predictions(compute_outputs(self.model, split))

    def _predictions(self, outputs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        return torch.cat([self.task.predictions(batch) for batch, _ in outputs])

    def truth(self, split: Split) -> Tensor:
        """Return labels, int64 of shape (N,), or targets in their original unit, float64 of shape (N, out_features)."""
        return self.task.truth(split.targets)

    def inputs(self, split: Split) -> Tensor:
        """Return the inputs (pixels or features) in their original unit, float64 on the CPU."""
        return self.splits.input_scaling.invert(split.inputs.cpu().double())


def load_trained_run(
    run: Run,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    *,
    device: str = "auto",
    data_root: str | None = None,
    experiment: Experiment | None = None,
) -> TrainedRun:
    """Return a run with its data and its model in memory.

    Args:
        run: The run.
        split: Split that metrics and plots refer to.
        checkpoint: Checkpoint to load the parameters from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        experiment: Data and model of the run, if they are in memory already; the model's parameters are overwritten.

    Raises:
        UsageError: If `split` is `val` and the run has no validation split.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    if split == "val" and not run.config.data.val_fraction:
        raise UsageError(
            f"{run.path} has no validation split: data.val_fraction is 0", hint="use `--split test` or `--split train`"
        )
    saved = run.load_checkpoint(checkpoint)
    if experiment is None:
        config = load_run_config(run, device=device, data_root=data_root)
        if config.training.precision == "tf32":  # rounds products for speed, which evaluation does not need
            config = config.model_copy(update={"training": config.training.model_copy(update={"precision": "float32"})})
        experiment = build_run_experiment(run.folder, saved, config)
    else:
        check_data(run.folder, saved, experiment.splits)
    check_position(run.folder, saved, experiment)
    experiment.model.load_state_dict(dict(saved.parameters))
    return TrainedRun(
        title=run.path,
        config=experiment.config,
        rows=run.rows,
        traces=run.traces,
        splits=experiment.splits,
        model=experiment.model,
        task=experiment.task,
        epoch=saved.epoch,
        status=run.status,
        split_name=split,
        parent=experiment.parent,
    )


def check_position(folder: RunFolder, checkpoint: Checkpoint, experiment: Experiment) -> None:
    """Check that the position in a checkpoint exists in the data.

    Raises:
        DataError: If the position does not exist.
    """
    if (state := checkpoint.training) is None:
        return
    n, batch_size = len(experiment.splits.train), experiment.config.training.batch_size
    position = state.position
    steps = position.epochs * count_batches(n, batch_size)
    steps += count_batches(position.examples, batch_size) if position.examples else 0
    if position.examples > n or position.step != steps:
        raise DataError(
            f"the checkpoint of step {checkpoint.step} does not fit the data of {folder.resolved}",
            hint="one of these files was changed after training; restore it or train again",
        )
