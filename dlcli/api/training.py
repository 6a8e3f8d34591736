"""Training of a config, and planning and resuming of runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.config.tree import KeyPath, Place
from dlcli.errors import DivergedError, Interrupted
from dlcli.evaluation.evaluate import evaluate_best
from dlcli.experiment import Experiment, build_experiment
from dlcli.overview import describe_run
from dlcli.reporters.notebook import notebook_listeners
from dlcli.runs.begin import begin_run
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder, RunName, find_run
from dlcli.runs.identity import is_shaped_by_epochs
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import environment_changes
from dlcli.runs.parent import find_parent
from dlcli.runs.recorder import Recorder
from dlcli.runs.resume import ResumePoint, check_changes, check_summary, find_resume_point, reopen_run
from dlcli.runs.run import Run
from dlcli.runs.run_data import build_run_experiment
from dlcli.runs.tensorboard import LogName, TensorBoardLog, check_packages, logs_to_continue
from dlcli.runs.trained_run import check_position
from dlcli.training.device import convert_memory_errors
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import RunStarted
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners, stop_requests

LONG_SECONDS = 10.0  # training time from which `plots: auto` draws pictures, which takes 1 to 2 s


@dataclass(frozen=True)
class TrainResult:
    """Result of a training; `dlcli train --json` prints it with `asdict`.

    Attributes:
        run: Run folder.
        status: `finished` or `stopped early`.
        steps_trained: Number of optimizer steps in this call; 0 if the run was already complete.
        epochs: Number of completed epochs.
        best_epoch: Epoch of the `best` checkpoint.
        best_because: Metric that decided the best epoch.
        checkpoints: Files of the `best` and `last` checkpoints.
        val: Metrics on the validation split after the best epoch; empty without a validation split.
        train: Training loss of the best epoch, as the metric `loss`.
        seconds: Time from the first step to the last checkpoint, without pauses between a stop and the resumption.
        test: Metrics of the best checkpoint on the test split, if requested.
        recovered: Messages about damaged or missing files that the resumed run ignored.
        warning: Set if the model is no better than a constant prediction; None otherwise.
        nothing_left: Reason why the run was already complete, and the setting to raise; None if steps were trained.
    """

    run: str
    status: str
    steps_trained: int
    epochs: int
    best_epoch: int
    best_because: str
    checkpoints: dict[str, str]
    val: dict[str, float | None]
    seconds: float
    test: dict[str, Any] | None = None
    train: dict[str, float | None] = field(default_factory=dict)
    recovered: tuple[str, ...] = ()
    warning: str | None = None
    nothing_left: str | None = None


FOUND = Place("found in the data")  # origin of settings such as the separator of a CSV file


def plan(source: ConfigSource, overrides: Overrides = ()) -> RunStarted:
    """Return a description of what `train` would do, without training or writing files."""
    loaded, parent = find_parent(load_config(source, overrides))
    experiment = build_experiment(loaded.config, parent=parent.parent if parent else None)
    return describe_run(
        experiment.config, experiment.splits, experiment.model, experiment.device, experiment.arithmetic.threads, run=""
    )


def train(
    source: ConfigSource,
    overrides: Overrides = (),
    *,
    data: ArrayData | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    evaluate_test: bool = False,
    log: Sequence[LogName] = (),
    listeners: Listeners | None = None,
) -> TrainResult:
    """Train the model of a config and save a run folder.

    Args:
        source: YAML file, name of a preset, settings as a dict, or a config from `load_config`.
        overrides: See `load_config`; not with a loaded config.
        data: Inputs and targets, or a mapping of `inputs`, `targets` and optionally `feature_names` and `class_names`,
            that replace the data of the config and become a file of the run. They are arrays of NumPy or torch, or
            data frames. Inputs have shape (N, features), or are pictures of shape (N, H, W) or (N, H, W, C) with bytes
            or with numbers from 0 to 1. Targets are labels or values. Not with a loaded config.
        run_dir: Path of the run folder; None creates one under the runs folder.
        evaluate_test: Whether to evaluate the best checkpoint on the test split afterwards.
        log: Further logs in the run folder: `tensorboard`.
        listeners: Callbacks; None shows the progress in a notebook, and nothing elsewhere.

    Raises:
        ConfigError: If `model.init` names a run that does not exist.
        DataError: If the data is missing, damaged or unsuitable, or the run folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If the loss is no longer finite; earlier checkpoints are kept.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    check_packages(log)
    path = None if run_dir is None else Path(run_dir)
    with notebook_listeners(listeners) as listeners, array_file(data) as arrays:
        loaded = load_with_arrays(source, overrides, arrays)
        for note in loaded.notes:
            listeners.note(note)
        loaded, parent = find_parent(loaded)
        experiment = build_experiment(loaded.config, notify=listeners.notify, parent=parent.parent if parent else None)
        found: dict[KeyPath, Place] = {("data", name): FOUND for name in experiment.splits.layout}
        loaded = replace(loaded, config=experiment.config, places={**loaded.places, **found})
        setup = (experiment.splits, experiment.device, experiment.arithmetic)
        with begin_run(loaded, *setup, sys.argv, path, parent, arrays) as folder:
            return _train_in(folder, experiment, None, evaluate_test, log, listeners)


def resume(
    run: RunName,
    changes: LoadedConfig | Overrides = (),
    *,
    evaluate_test: bool = False,
    log: Sequence[LogName] = (),
    listeners: Listeners | None = None,
) -> TrainResult:
    """Resume a run from its last checkpoint, bit-identical to an uninterrupted run.

    Args:
        run: Run folder, name or result.
        changes: Overrides of the run's config, see `load_config`, or a loaded config to continue with. Only settings
            that do not affect results may differ, and `training.epochs` and `early_stopping.patience` may be higher.
        evaluate_test: Whether to evaluate the best checkpoint on the test split afterwards.
        log: Further logs in the run folder: `tensorboard`; a log that the run has is continued anyway.
        listeners: Callbacks; None shows the progress in a notebook, and nothing elsewhere.

    Returns:
        The result. `steps_trained` is 0 if the run is already complete: all epochs are done, or early stopping ended it
        and `patience` is not higher now.

    Raises:
        UsageError: If the run does not exist, another process trains it, or other settings have changed.
        DataError: If the data or the run cannot be used, or the run folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If the run has diverged or diverges now.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    folder = find_run(run)
    with notebook_listeners(listeners) as listeners, lock_run(folder.path):
        log = logs_to_continue(folder, log, listeners.note)
        original = load_config(folder.resolved)
        loaded = changes if isinstance(changes, LoadedConfig) else load_config(folder.resolved, changes)
        loaded = replace(loaded, config=loaded.config.with_data_of(original.config))
        check_changes(folder, original.config, loaded.config)
        point = find_resume_point(folder, original.config)
        check_summary(folder, point, loaded.config)
        if reason := _find_end(folder, point, loaded.config):
            listeners.note(f"{folder.path}: {reason}")
            return replace(_train_result(folder, None, evaluate_test), nothing_left=reason)
        experiment = build_run_experiment(folder, point.checkpoint, loaded.config, notify=listeners.notify)
        if point.checkpoint is not None:
            check_position(folder, point.checkpoint, experiment)
        for note in point.notes:
            listeners.note(note)
        for name, (before, current) in environment_changes(folder.read_manifest(), experiment.device).items():
            listeners.note(
                f"{name} was {before} and is now {current}: the last bits may differ from an uninterrupted run"
            )
        reopen_run(folder, original, loaded.config, point, experiment.device, sys.argv)
        return _train_in(folder, experiment, point, evaluate_test, log, listeners)


def _find_end(folder: RunFolder, point: ResumePoint, config: Config) -> str | None:
    """Return why the run is already complete and which setting to raise; None if epochs remain.

    Raises:
        DivergedError: If the run has diverged, because it would diverge again.
    """
    summary = folder.read_summary()
    if summary["status"] == "diverged":
        hint = f"start a new run with other settings: `dlcli train -c {folder.resolved} optimizer.lr=...`"
        raise DivergedError(f"{folder.path} would diverge again: {summary.get('error')}", hint=hint)
    if point.checkpoint is None or point.checkpoint.training is None or point.notes:
        return None
    if summary["status"] not in ("finished", "stopped early") or "best_epoch" not in summary:
        return None
    state, patience = point.checkpoint.training, config.early_stopping.patience
    epochs = state.position.epochs
    if epochs >= config.training.epochs:
        hint = "" if is_shaped_by_epochs(config) else "; raise training.epochs to continue"
        return f"all {epochs} epochs are done: nothing is left to train{hint}"
    if patience is not None and epochs - state.stopping.best_epoch >= patience:
        return (
            f"early stopping ended training after epoch {epochs}, {epochs - state.stopping.best_epoch} after the best: "
            "nothing is left to train; raise early_stopping.patience to continue"
        )
    return None


def _train_in(
    folder: RunFolder,
    experiment: Experiment,
    point: ResumePoint | None,
    evaluate_test: bool,
    log: Sequence[LogName],
    listeners: Listeners,
) -> TrainResult:
    """Train in a locked run folder, from the first epoch or from `point`."""
    config, splits = experiment.config, experiment.splits
    checkpoint = point.checkpoint if point else None
    step, state = (checkpoint.step, checkpoint.training) if checkpoint else (None, None)
    arithmetic = state.arithmetic if state else experiment.arithmetic
    started = describe_run(
        config, splits, experiment.model, experiment.device, arithmetic.threads, str(folder.path), step
    )
    listeners.listen(started)
    with convert_memory_errors(config), stop_requests(listeners) as should_stop:
        fit = Fit(experiment.model, experiment.task, splits, config, state)
        rows = point.rows if point else ()
        boards = [TensorBoardLog(folder, config, rows, listeners.note) for _ in log]
        with Recorder(folder, fit, splits, config, point) as recorder:
            for event in fit:
                recorder.handle(event)
                for board in boards:
                    board.handle(event)
                if signum := listeners.emit(event) or should_stop():
                    position = _describe_position(fit, started)
                    hint = f"`dlcli train --resume {as_argument(str(folder.path))}` continues from there"
                    saved = folder.checkpoint("last")
                    raise Interrupted(f"interrupted {position}; saved {saved}", signum=signum, hint=hint)
    if _should_draw(folder, config):
        from dlcli.plots.draw import draw_after_training  # imports matplotlib, which is slow

        draw_after_training(Run(folder), experiment, listeners.note)
    result = _train_result(folder, experiment, evaluate_test)
    for board in boards:
        board.finish(folder.read_summary(), fit.position.step)
    recovered = tuple(point.notes) if point else ()
    return replace(
        result,
        steps_trained=fit.position.step - (step or 0),
        recovered=recovered,
        warning=_warn_of_guessing(result, experiment),
    )


def _describe_position(fit: Fit, started: RunStarted) -> str:
    """Return the epoch in which training stopped, with the step within it."""
    done, step = fit.position.epochs, fit.position.step - fit.position.epochs * started.steps_per_epoch
    if step == 0:
        return f"after epoch {done} of {started.epochs}"
    return f"in epoch {done + 1} of {started.epochs}, step {step:,} of {started.steps_per_epoch:,}"


def _warn_of_guessing(result: TrainResult, experiment: Experiment) -> str | None:
    """Return a warning if the best epoch is no better than a constant prediction on the monitored split."""
    splits, task = experiment.splits, experiment.task
    metric, constant = task.constant_score(splits.train.targets.cpu(), splits.monitored.targets.cpu())
    value = (result.val or task.metrics(evaluate_split(experiment.model, task, splits.train)))[metric]
    if value is None or value > constant:  # None: R² of a constant target
        return None
    return (
        f"the model is no better than guessing: {splits.monitored_name} {metric} {value:.3f}; "
        f"`dlcli runs show {as_argument(result.run)} --diagnose` looks for the reason"
    )


def _should_draw(folder: RunFolder, config: Config) -> bool:
    return config.plots == "always" or (config.plots == "auto" and folder.read_summary()["seconds"] >= LONG_SECONDS)


def _train_result(folder: RunFolder, experiment: Experiment | None, evaluate_test: bool) -> TrainResult:
    """Return the result of a run, with metrics on the test split if requested."""
    summary = folder.read_summary()
    test = None
    if evaluate_test:
        device = experiment.config.training.device if experiment else "auto"
        test = evaluate_best(Run(folder), device, experiment)
        write_json(folder.summary, {**summary, "test": test})
    return TrainResult(
        run=str(folder.path),
        checkpoints={which: str(folder.checkpoint(which)) for which in ("best", "last")},
        test=test,
        steps_trained=0,
        **{key: summary[key] for key in ("status", "epochs", "best_epoch", "best_because", "val", "train", "seconds")},
    )
