"""Training of a config, and planning and resuming of runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.api.resumption import continue_run, find_run_to_resume, plan_resumption, result_of_ended
from dlcli.api.run_training import TrainResult, train_in
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.tree import KeyPath, Place
from dlcli.experiment import Experiment, build_experiment
from dlcli.overview import describe_run
from dlcli.ranks import read_rank
from dlcli.reporters.notebook import notebook_listeners
from dlcli.runs.begin import begin_run
from dlcli.runs.create import create_run
from dlcli.runs.find import RunName
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import build_manifest
from dlcli.runs.parent import find_parent
from dlcli.runs.tensorboard import LogName, check_packages
from dlcli.training.events import RunStarted
from dlcli.training.listeners import NO_LISTENERS, Listeners

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
        overrides: See `load_config`; not allowed with a loaded config.
        data: Inputs and targets, or a mapping of `inputs`, `targets` and optionally `feature_names` and `class_names`,
            that replace the data of the config and become a file of the run. They are NumPy arrays, torch tensors or
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
    if not read_rank().is_alone:
        from dlcli.api.on_ranks import Options, train_on_ranks

        options = Options(evaluate_test, log, listeners or NO_LISTENERS)
        return train_on_ranks(source, overrides, data, path, options)
    with notebook_listeners(listeners) as listeners, array_file(data) as arrays:
        loaded = load_with_arrays(source, overrides, arrays)
        for note in loaded.notes:
            listeners.note(note)
        loaded, parent = find_parent(loaded)
        experiment = build_experiment(loaded.config, notify=listeners.notify, parent=parent.parent if parent else None)
        loaded = add_found_settings(loaded, experiment)
        manifest = build_manifest(experiment, sys.argv)
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
        log: Further logs in the run folder: `tensorboard`; a log that the run already has is always continued.
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
    if not read_rank().is_alone:
        from dlcli.api.on_ranks import Options, resume_on_ranks

        return resume_on_ranks(run, changes, Options(evaluate_test, log, listeners or NO_LISTENERS))
    folder = find_run_to_resume(run)
    with notebook_listeners(listeners) as listeners, lock_run(folder.path):
        plan = plan_resumption(folder, changes, log, listeners)
        if plan.nothing_left is not None:
            return result_of_ended(plan, evaluate_test)
        experiment = plan.build_experiment(listeners)
        return continue_run(plan, experiment, evaluate_test, listeners)
