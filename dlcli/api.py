"""Train, evaluate, predict: the only wiring of the rooms. The command line and notebooks both call this."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn

from dlcli.analysis.evaluation import evaluate_model
from dlcli.analysis.predictions import predict_examples
from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.render import render_value
from dlcli.config.schema import Config
from dlcli.data import load_splits
from dlcli.data.splits import Split, Splits
from dlcli.errors import DataError, Interrupted
from dlcli.model import build_mlp
from dlcli.reporters.overview import describe_run
from dlcli.runs.begin import begin_run
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.recorder import Recorder
from dlcli.task import Task, build_task
from dlcli.training.device import describe_device, memory_errors_named, pick_device, place_splits, set_precision
from dlcli.training.events import Event, RunStarted
from dlcli.training.fit import fit

if TYPE_CHECKING:  # what is measured seldom is imported late
    from dlcli.analysis.speed import BenchResult, Speed

SplitName: TypeAlias = Literal["train", "val", "test"]
CheckpointName: TypeAlias = Literal["best", "last"]


@dataclass(frozen=True)
class TrainResult:
    """What a run came to; `asdict` of it is what `dlcli train --json` prints.

    Attributes:
        run: The run's folder.
        status: finished, or stopped early.
        epochs: How many were done.
        best_epoch: The one whose checkpoint is `best`.
        best_because: Which metric made it best.
        checkpoints: Files of `best` and `last`.
        val: Metrics of the validation split after the best epoch.
        seconds: From the first step to the last checkpoint.
        test: Metrics of the best checkpoint on the test split, where asked for.
    """

    run: str
    status: str
    epochs: int
    best_epoch: int
    best_because: str
    checkpoints: dict[str, str]
    val: dict[str, float]
    seconds: float
    test: dict[str, Any] | None = None


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


@dataclass(frozen=True)
class Setup:
    """Data, model and task of a config, on its device."""

    config: Config
    splits: Splits
    model: nn.Sequential
    task: Task
    device: torch.device


def set_up(config: Config, *, notify: Callable[[str], None] | None = None) -> Setup:
    """Load the data and build the model that `config` describes.

    Args:
        config: All settings.
        notify: Told what is fetched before it is; None keeps off the network.

    Raises:
        DataError: If data is missing, damaged or unfit.
        DeviceError: If the device is missing, or its memory is too small.
    """
    device = pick_device(config.training.device)
    dtype = set_precision(config.training.precision, device)
    splits = load_splits(config, notify=notify)
    info = splits.info
    with memory_errors_named(config):
        model = build_mlp(info.in_features, info.out_features, config.model, seed=config.seed, dtype=dtype).to(device)
        task = build_task(config, splits)
        return Setup(config, place_splits(splits, device, dtype), model, task, device)


def plan(loaded: LoadedConfig) -> RunStarted:
    """Return what `train` would do, without training or leaving anything behind."""
    setup = set_up(loaded.config)
    return describe_run(setup.config, setup.splits, setup.model, setup.device, run="")


def train(
    loaded: LoadedConfig,
    *,
    run_dir: Path | None = None,
    evaluate_test: bool = False,
    listen: Callable[[Event], None] = lambda event: None,
    notify: Callable[[str], None] | None = None,
    should_stop: Callable[[], int | None] = lambda: None,
) -> TrainResult:
    """Train what a config describes, and leave a run folder behind.

    Args:
        loaded: From `load_config`.
        run_dir: Where to make the run folder, instead of under the runs folder.
        evaluate_test: Whether to measure the best checkpoint on the test split afterwards.
        listen: Called with each event.
        notify: Told what is fetched before it is; None keeps off the network.
        should_stop: Asked after each event; a signal's number saves the state and ends the run.

    Raises:
        DataError: If data is missing, damaged or unfit, or the run folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If the loss stops being finite; the checkpoints of better times are kept.
        Interrupted: If `should_stop` said so.
    """
    setup = set_up(loaded.config, notify=notify)
    config, splits, model = setup.config, setup.splits, setup.model
    folder = begin_run(loaded, splits.info, setup.device, sys.argv, run_dir)
    listen(describe_run(config, splits, model, setup.device, str(folder.path)))
    recorder = Recorder(folder, model, splits, config.checkpoint)
    with memory_errors_named(config), recorder:
        for event in fit(model, setup.task, splits, config):
            recorder.handle(event)
            listen(event)
            if signum := should_stop():
                hint = f"`dlcli eval {folder.path} --checkpoint last` measures what was learned so far"
                raise Interrupted(f"interrupted; saved {folder.checkpoint('last')}", signum=signum, hint=hint)
    test = None
    if evaluate_test:
        test = evaluate(str(folder.path), device=config.training.device, setup=setup).metrics
        write_json(folder.summary, {**folder.read_summary(), "test": test})
    return _train_result(folder, test)


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
    setup, saved = _open_run(folder, checkpoint, device, data_root, setup)
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
    setup, _ = _open_run(folder, checkpoint, device, data_root)
    info = setup.splits.info
    predictions = predict_examples(setup.model, setup.task, getattr(setup.splits, split), info, indices)
    return PredictResult(str(folder.path), split, checkpoint, info.target_unit, predictions)


def bench(
    config: str | None = None,
    overrides: Sequence[str] = (),
    *,
    rounds: int = 5,
    against: Literal["tutorial"] | None = None,
    listen: Callable[[Speed], None] = lambda speed: None,
) -> BenchResult:
    """Measure how fast training is here; nothing is left behind.

    Args:
        config: A file or a preset; None takes three workloads of random data, and `digits` for the start-up.
        overrides: Settings that go before the config's.
        rounds: How often each workload is timed.
        against: A loop to take turns with, on the same data.
        listen: Called with each workload's result.

    Raises:
        ConfigError: If the config has problems.
        DataError: If data is missing, damaged or unfit.
    """
    from dlcli.analysis.speed import BenchResult, Workload, built_in_workloads, measure_speed, measure_start_up

    if config is None:
        workloads = built_in_workloads()
    else:
        setup = set_up(load_config(config, overrides).config)
        workloads = [Workload(config, setup.config, setup.splits)]
    speeds: list[Speed] = []
    for workload in workloads:
        with memory_errors_named(workload.config):
            speeds.append(measure_speed(workload, rounds=rounds, against=against))
        listen(speeds[-1])
    device = workloads[0].splits.train.inputs.device
    return BenchResult(describe_device(device), torch.__version__, tuple(speeds), measure_start_up(config, overrides))


def _open_run(
    folder: RunFolder, which: CheckpointName, device: str, data_root: str | None, setup: Setup | None = None
) -> tuple[Setup, Checkpoint]:
    """Return a run's data and its model with the parameters of a checkpoint."""
    saved = load_checkpoint(folder.checkpoint(which))
    if setup is None:
        elsewhere = [f"data.root={render_value(data_root)}"] if data_root is not None else []
        config = load_config(folder.resolved, [f"training.device={device}", *elsewhere]).config
        if config.training.precision == "tf32":  # rounded products speed training up; a measure needs none
            config = config.model_copy(update={"training": config.training.model_copy(update={"precision": "float32"})})
        setup = set_up(config)
    splits = setup.splits
    input_same = saved.input_scaling.is_close(splits.input_scaling)
    if not (input_same and saved.target_scaling.is_close(splits.target_scaling)):
        raise DataError(f"the data has changed since {folder.path} was trained", hint="train again")
    try:
        setup.model.load_state_dict(dict(saved.parameters))
    except RuntimeError as error:
        raise DataError(f"{folder.checkpoint(which)} does not fit the model of {folder.resolved}") from error
    return setup, saved


def _train_result(folder: RunFolder, test: dict[str, Any] | None) -> TrainResult:
    summary = folder.read_summary()
    return TrainResult(
        run=str(folder.path),
        checkpoints={which: str(folder.checkpoint(which)) for which in ("best", "last")},
        test=test,
        **{key: summary[key] for key in ("status", "epochs", "best_epoch", "best_because", "val", "seconds")},
    )
