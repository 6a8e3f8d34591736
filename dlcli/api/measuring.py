"""Evaluation and prediction of trained runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.analysis.baselines import describe_against_baselines
from dlcli.analysis.evaluation import evaluate_in_full, evaluate_model
from dlcli.analysis.predictions import predict_examples
from dlcli.analysis.trained_run import SplitName, TrainedRun
from dlcli.api.comparing import find_baselines
from dlcli.api.setup import CheckpointName, Setup, load_run_model, load_trained_run
from dlcli.runs.folder import RunFolder, find_run


@dataclass(frozen=True)
class EvalResult:
    """Evaluation of a run on a split; `dlcli eval --json` prints it with `asdict`.

    Attributes:
        run: Run folder.
        split: Evaluated split.
        checkpoint: Evaluated checkpoint.
        epoch: Epoch of the checkpoint.
        examples: Number of evaluated examples.
        metrics: Metrics as returned by `evaluate_in_full`.
        baselines: Results of the baselines on the same examples, by name.
        statements: Sentences that compare the run with the baselines.
    """

    run: str
    split: str
    checkpoint: str
    epoch: int
    examples: int
    metrics: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    statements: list[str]


@dataclass(frozen=True)
class PredictResult:
    """Predictions of a run; `dlcli predict --json` prints them with `asdict`."""

    run: str
    split: str
    checkpoint: str
    unit: str
    predictions: list[dict[str, Any]]


def evaluate(
    run: str | None = None,
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
        run: Run folder or name; None selects the newest run.
        split: Split to evaluate.
        checkpoint: Checkpoint to evaluate.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        baselines: Whether to fit the baselines.
        notify: Called with a one-line message before a slow step.

    Raises:
        UsageError: If the run does not exist.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder, trained = load_trained_run(run, split, checkpoint, device=device, data_root=data_root)
    return measure_run(folder, trained, checkpoint, baselines=baselines, notify=notify)


def measure_run(
    folder: RunFolder,
    trained: TrainedRun,
    checkpoint: CheckpointName,
    *,
    baselines: bool = True,
    notify: Callable[[str], None] = lambda text: None,
) -> EvalResult:
    """Evaluate a run that is already loaded; see `evaluate`."""
    metrics = evaluate_in_full(trained)
    fitted = find_baselines(folder, trained, notify) if baselines else []
    return EvalResult(
        run=str(folder.path),
        split=trained.split_name,
        checkpoint=checkpoint,
        epoch=trained.epoch,
        examples=len(trained.split),
        metrics=metrics,
        baselines={baseline.name: baseline.record for baseline in fitted},
        statements=describe_against_baselines(metrics, fitted, unit=trained.info.target_unit),
    )


def evaluate_best(folder: RunFolder, device: str, setup: Setup | None) -> dict[str, Any]:
    """Return the task's metrics of the best checkpoint on the test split, without the slower parts of `evaluate`.

    Args:
        folder: Run folder.
        device: Device to compute on.
        setup: Data and model of the run if already loaded; the model is overwritten. None loads them.
    """
    setup, _ = load_run_model(folder, "best", device, None, setup)
    return evaluate_model(setup.model, setup.task, setup.splits.test, setup.splits.info.class_names)


def predict(
    run: str | None = None,
    indices: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
    event: Sequence[str] | None = None,
) -> PredictResult:
    """Return the predictions of a run for selected examples.

    Args:
        run: Run folder or name; None selects the newest run.
        indices: Indices of the examples in the split, from 0.
        split: Split to take the examples from.
        checkpoint: Checkpoint to load the model from.
        device: Device to compute on.
        data_root: Folder with the data set, if it has moved since training.
        event: Class names that form an event E, to add P(E | x) to each prediction.

    Raises:
        UsageError: If the run, an example or a class does not exist.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder = find_run(run)
    setup, _ = load_run_model(folder, checkpoint, device, data_root)
    info = setup.splits.info
    predictions = predict_examples(setup.model, setup.task, getattr(setup.splits, split), info, indices, event)
    return PredictResult(str(folder.path), split, checkpoint, info.target_unit, predictions)
