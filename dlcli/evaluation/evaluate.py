"""What a run is worth: measured on a split, shown on single examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.evaluation.baselines import describe_against_baselines
from dlcli.evaluation.metrics import evaluate_in_full, evaluate_model
from dlcli.evaluation.predictions import predict_examples
from dlcli.evaluation.stored_baselines import find_baselines
from dlcli.experiment import Setup
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.trained_run import CheckpointName, SplitName, TrainedRun, load_run_model, load_trained_run


@dataclass(frozen=True)
class EvalResult:
    """What a run is worth on a split; `asdict` of it is what `dlcli eval --json` prints.

    Attributes:
        run: The run's folder.
        split: Which examples.
        checkpoint: Which parameters.
        epoch: The checkpoint's.
        examples: How many were measured.
        metrics: See `evaluate_in_full`.
        baselines: What plain methods come to on the same examples, by name.
        statements: The run against the baselines, in sentences.
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
    """Predictions of a run; `asdict` of it is what `dlcli predict --json` prints."""

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
    """Measure a run on a split, and hold it against what plain methods come to.

    Args:
        run: A run's folder or name; None is the newest.
        split: Which examples.
        checkpoint: Which parameters.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.
        baselines: Whether to fit the baselines.
        notify: Told in a line what takes seconds, before it does.

    Raises:
        UsageError: If there is no such run.
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
    """Measure a run that is in memory: `evaluate` without loading it."""
    metrics = evaluate_in_full(trained)
    others = find_baselines(folder, trained, notify) if baselines else []
    return EvalResult(
        run=str(folder.path),
        split=trained.split_name,
        checkpoint=checkpoint,
        epoch=trained.epoch,
        examples=len(trained.split),
        metrics=metrics,
        baselines={one.name: one.record for one in others},
        statements=describe_against_baselines(metrics, others, unit=trained.info.target_unit),
    )


def evaluate_best(folder: RunFolder, device: str, setup: Setup | None) -> dict[str, Any]:
    """Return the task's metrics of the best checkpoint on the test split: the part of `evaluate` that takes no time.

    Args:
        folder: The run's.
        device: Where to compute.
        setup: The run's data and model, where they are in memory already; its model is overwritten.
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
    """Return what a run says of chosen examples; arguments and errors are those of `evaluate`.

    Args:
        run: As there.
        indices: Which examples of the split, counted from 0.
        split: As there.
        checkpoint: As there.
        device: As there.
        data_root: As there.
        event: Names of classes, to ask for P(one of them | x) too.
    """
    folder = find_run(run)
    setup, _ = load_run_model(folder, checkpoint, device, data_root)
    info = setup.splits.info
    predictions = predict_examples(setup.model, setup.task, getattr(setup.splits, split), info, indices, event)
    return PredictResult(str(folder.path), split, checkpoint, info.target_unit, predictions)
