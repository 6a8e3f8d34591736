"""What a run is worth: measured on a split, shown on single examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.analysis.evaluation import evaluate_model
from dlcli.analysis.predictions import predict_examples
from dlcli.analysis.trained_run import SplitName
from dlcli.api.setup import CheckpointName, Setup, load_run_model
from dlcli.data.splits import Split
from dlcli.runs.folder import find_run


@dataclass(frozen=True)
class EvalResult:
    """Metrics of a run on a split; `asdict` of it is what `dlcli eval --json` prints."""

    run: str
    split: str
    checkpoint: str
    epoch: int
    examples: int
    metrics: dict[str, Any]


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
    setup: Setup | None = None,
) -> EvalResult:
    """Measure a run on a split.

    Args:
        run: A run's folder or name; None is the newest.
        split: Which examples.
        checkpoint: Which parameters.
        device: Where to compute.
        data_root: Where the data lies, if not where it lay for training.
        setup: The run's data and model, where they are in memory already; its model is overwritten.

    Raises:
        UsageError: If there is no such run.
        DataError: If the run, its checkpoint or its data cannot be used.
    """
    folder = find_run(run)
    setup, saved = load_run_model(folder, checkpoint, device, data_root, setup)
    examples: Split = getattr(setup.splits, split)
    metrics = evaluate_model(setup.model, setup.task, examples, setup.splits.info.class_names)
    return EvalResult(str(folder.path), split, checkpoint, saved.epoch, len(examples), metrics)


def predict(
    run: str | None = None,
    indices: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    split: SplitName = "test",
    checkpoint: CheckpointName = "best",
    device: str = "auto",
    data_root: str | None = None,
) -> PredictResult:
    """Return what a run says of chosen examples; arguments and errors are those of `evaluate`."""
    folder = find_run(run)
    setup, _ = load_run_model(folder, checkpoint, device, data_root)
    info = setup.splits.info
    predictions = predict_examples(setup.model, setup.task, getattr(setup.splits, split), info, indices)
    return PredictResult(str(folder.path), split, checkpoint, info.target_unit, predictions)
