"""Training of a config, and planning and resuming of runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.api.run_training import TrainResult, train_in, train_result
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.config.tree import KeyPath, Place
from dlcli.errors import DivergedError, UsageError
from dlcli.experiment import Experiment, build_experiment
from dlcli.overview import describe_run
from dlcli.reporters.notebook import notebook_listeners
from dlcli.runs.begin import begin_run
from dlcli.runs.find import RunName, find_run
from dlcli.runs.folder import GROUP, RunFolder, create_run
from dlcli.runs.identity import is_shaped_by_epochs
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import build_manifest, environment_changes
from dlcli.runs.parent import find_parent
from dlcli.runs.resume import ResumePoint, check_changes, check_summary, find_resume_point, reopen_run
from dlcli.runs.run_data import build_run_experiment
from dlcli.runs.tensorboard import LogName, check_packages, logs_to_continue
from dlcli.runs.trained_run import check_position
from dlcli.training.events import RunStarted
from dlcli.training.listeners import Listeners

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
        loaded = add_found_settings(loaded, experiment)
        setup = (experiment.splits, experiment.device, experiment.arithmetic)
        manifest = build_manifest(loaded.config, *setup, sys.argv)
        with begin_run(create_run(loaded.config.name, path), loaded, manifest, parent, arrays) as folder:
            return train_in(folder, experiment, None, evaluate_test, log, listeners)


def add_found_settings(loaded: LoadedConfig, experiment: Experiment) -> LoadedConfig:
    """Return the config with the settings that were found in the data, such as the separator of a CSV file."""
    found: dict[KeyPath, Place] = {("data", name): FOUND for name in experiment.splits.layout}
    return replace(loaded, config=experiment.config, places={**loaded.places, **found})


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
    folder = _find_run_to_resume(run)
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
            return replace(train_result(folder, None, evaluate_test), nothing_left=reason)
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
        return train_in(folder, experiment, point, evaluate_test, log, listeners)


def _find_run_to_resume(run: RunName) -> RunFolder:
    """Return the folder of a run.

    Raises:
        UsageError: If it is a seed of a group, which is resumed as a whole.
    """
    folder = find_run(run)
    if (folder.path.parent / GROUP).exists():
        group = as_argument(str(folder.path.parent))
        message = f"{folder.path} is a seed of a group, which is resumed as a whole"
        raise UsageError(message, hint=f"run `dlcli train --resume {group}`")
    return folder


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
