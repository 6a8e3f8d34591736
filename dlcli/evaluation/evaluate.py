"""Evaluation and predictions of trained runs, and evaluation of models on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.data.splits import Split
from dlcli.errors import DataError
from dlcli.evaluation.baselines import describe_against_baselines, load_or_fit_baselines
from dlcli.evaluation.classification import classification_metrics, per_class_metrics
from dlcli.evaluation.predictions import predict_examples
from dlcli.evaluation.regression import residual_quantiles
from dlcli.evaluation.split_interval import rmse_interval
from dlcli.experiment import Experiment
from dlcli.runs.files import write_json
from dlcli.runs.run import Run, RunLike, open_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_trained_run
from dlcli.task import Task
from dlcli.training.evaluation import add_sums, compute_outputs


@dataclass(frozen=True)
class EvalResult:
    """Evaluation of a run on a split; `dlcli eval --json` prints it with `asdict`.

    Attributes:
        epoch: Epoch of the checkpoint.
        examples: Number of evaluated examples.
        metrics: Metrics as returned by `evaluate_fully`.
        baselines: Results of the baselines on the same examples, by name.
        statements: Sentences that compare the run with the baselines, about duplicate examples in the user's data, and
            about filled values and new categories in new data.
        data: Name of the new data that was evaluated instead of a split.
    """

    run: str
    split: str
    checkpoint: str
    epoch: int
    examples: int
    metrics: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    statements: list[str]
    data: str | None = None

    @property
    def scalars(self) -> dict[str, float]:
        """Metrics that are one number."""
        return {name: value for name, value in self.metrics.items() if isinstance(value, float)}


@dataclass(frozen=True)
class PredictResult:
    """Predictions of a run; `dlcli predict --json` prints them with `asdict`."""

    run: str
    split: str
    checkpoint: str
    unit: str
    predictions: list[dict[str, Any]]


def evaluate(
    run: RunLike | None = None,
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    baselines: bool = True,
    notify: Callable[[str], None] = lambda text: None,
) -> EvalResult:
    """Evaluate a run on a split and compare it with baselines.

    Args:
        run: Run, run folder or name; None selects the newest run.
        split: Split to evaluate on.
        checkpoint: Checkpoint to load the parameters from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        baselines: Whether to fit the baselines.
        notify: Called with a one-line message before a slow step.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    run = open_run(run)
    trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
    return evaluate_trained(run, trained, checkpoint, baselines=baselines, notify=notify)


def evaluate_trained(
    run: Run,
    trained: TrainedRun,
    checkpoint: CheckpointName,
    *,
    baselines: bool = True,
    notify: Callable[[str], None] = lambda text: None,
) -> EvalResult:
    """Evaluate a run whose model is in memory; see `evaluate`."""
    metrics = evaluate_fully(trained)
    if trained.split_name == "test" and checkpoint == "best":
        _keep(run, {name: metrics[name] for name in trained.task.metrics(add_sums(trained.task, trained.outputs))})
    fitted = load_or_fit_baselines(run.folder, trained, notify) if baselines else []
    return EvalResult(
        run=run.path,
        split=trained.split_name,
        checkpoint=checkpoint,
        epoch=trained.epoch,
        examples=len(trained.split),
        metrics=metrics,
        baselines={baseline.name: baseline.record for baseline in fitted},
        statements=[
            *describe_against_baselines(metrics, fitted, unit=trained.info.target_unit),
            *trained.splits.duplicates,
        ],
    )


def _keep(run: Run, test: dict[str, Any]) -> None:
    """Store the test metrics of the best checkpoint in the run folder, for comparisons, if the folder is writable."""
    if run.summary.get("best_sha256") and run.test is None:
        with suppress(DataError):
            write_json(run.folder.evaluation, {"best_sha256": run.summary["best_sha256"], "test": test})


def evaluate_best(run: Run, device: str, experiment: Experiment | None) -> dict[str, Any]:
    """Return the task's metrics of the best checkpoint on the test split, without intervals and baselines.

    `experiment` holds the run's data and model if they are in memory already; the model's parameters are overwritten.
    """
    trained = load_trained_run(run, device=device, experiment=experiment)
    return evaluate_model(trained.model, trained.task, trained.split, trained.info.class_names)


def predict(
    run: RunLike | None = None,
    indices: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    event: Sequence[str] | None = None,
) -> PredictResult:
    """Return the predictions of a run for the examples at the given positions of a split, counted from 0.

    If `event` lists class names, P(any of these classes | x) is computed too. The other arguments are those of
    `evaluate`.

    Raises:
        UsageError: If there is no such run, example or class.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    run = open_run(run)
    trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
    predictions = predict_examples(trained.model, trained.task, trained.split, trained.info, indices, event)
    return PredictResult(run.path, split, checkpoint, trained.info.target_unit, predictions)


def evaluate_model(model: nn.Module, task: Task, split: Split, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the task's metrics over all examples of the split, and `per_class` metrics or the `rmse_interval`.

    The model must be on the split's device, and the examples must be scaled as in training. Regression ignores
    `class_names`.
    """
    return _measure(task, list(compute_outputs(model, split)), class_names)


def _measure(task: Task, outputs: Sequence[tuple[Tensor, Tensor]], class_names: Sequence[str]) -> dict[str, Any]:
    sums = add_sums(task, outputs)
    metrics: dict[str, Any] = dict(task.metrics(sums))
    if "confusion" in sums:
        metrics["per_class"] = per_class_metrics(sums["confusion"], class_names)
    elif interval := _rmse_interval(task, outputs):
        metrics["rmse_interval"] = interval
    return metrics


def _rmse_interval(task: Task, outputs: Sequence[tuple[Tensor, Tensor]]) -> list[float] | None:
    """Return the 95 % confidence interval of the RMSE; None for a single example and non-finite errors."""
    errors = torch.cat([_squared_errors(task, *batch) for batch in outputs])
    if len(errors) == 1 or not errors.isfinite().all():
        return None
    return list(rmse_interval(errors.mean().item(), errors.std().item(), len(errors)))


def _squared_errors(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each example in the target's unit, averaged over outputs; float64 of shape (N,)."""
    return (task.predictions(outputs) - task.truth(targets)).square().mean(1)


def evaluate_fully(run: TrainedRun) -> dict[str, Any]:
    """Return the metrics of `evaluate_model` on the run's split, and metrics computed from single predictions.

    Raises:
        DataError: If a prediction is not a finite number.
    """
    predictions, truth = run.predictions, run.truth(run.split)
    if not predictions.isfinite().all():
        raise DataError(
            f"the model of {run.title} gives outputs that are not finite numbers",
            hint="train again with a lower learning rate: `dlcli train -c CONFIG optimizer.lr=LR`",
        )
    metrics = _measure(run.task, run.outputs, run.info.class_names)
    if run.info.task == "classification":
        return {**metrics, **classification_metrics(predictions, truth, run.info.class_names)}
    return {**metrics, "residual_quantiles": residual_quantiles(predictions, truth)}
