"""Training of a config with several seeds, and resuming of such a group."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.api.resumption import check_is_no_part_of_sweep
from dlcli.api.run_group import SeedsResult, evaluate_members, group_result, train_group_in
from dlcli.api.training import add_found_settings
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides, load_config
from dlcli.config.schema import Config
from dlcli.errors import DivergedError, UsageError
from dlcli.experiment import Experiment, build_experiments
from dlcli.overview import describe_group
from dlcli.reporters.notebook import notebook_listeners
from dlcli.runs.begin import begin_run
from dlcli.runs.create import create_run
from dlcli.runs.find import RunName, find_group
from dlcli.runs.folder import MOST_SEEDS, GroupFolder
from dlcli.runs.group.resume import GroupPoint, find_group_point, find_status, reopen_group
from dlcli.runs.identity import is_shaped_by_epochs
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import build_manifest, count_classes, environment_changes
from dlcli.runs.parent import find_parent, load_parent
from dlcli.runs.resume import check_changes
from dlcli.runs.run_data import check_data
from dlcli.training.events import GroupStarted
from dlcli.training.listeners import Listeners

_MAX_SEED = 2**32 - 1

TrainGroup: TypeAlias = Callable[[GroupFolder, Sequence[Experiment], GroupPoint | None, bool, Listeners], SeedsResult]


def plan_seeds(source: ConfigSource, overrides: Overrides = (), *, seeds: int) -> GroupStarted:
    """Return a description of what `train_seeds` would do, without training or writing files."""
    loaded, parent = find_parent(load_config(source, overrides))
    chosen = choose_seeds(loaded.config, seeds)
    return describe_group(build_experiments(loaded.config, chosen, parent=parent.parent if parent else None), run="")


def choose_seeds(config: Config, count: int) -> range:
    """Return the seeds of a group: the seed of the config and the next integers.

    Raises:
        UsageError: If the number of seeds is not valid.
    """
    if count == 1:
        raise UsageError("seeds must be at least 2. Got 1 instead", hint="leave --seeds out to train a single seed")
    if not 2 <= count <= MOST_SEEDS:
        raise UsageError(
            f"seeds must be from 2 to {MOST_SEEDS:,}. Got {count} instead", hint="write it like --seeds 10"
        )
    if config.seed + count - 1 > _MAX_SEED:
        message = f"{count} seeds from {config.seed} exceed the largest seed, {_MAX_SEED}"
        raise UsageError(message, hint=f"use `seed={_MAX_SEED - count + 1}` or less")
    return range(config.seed, config.seed + count)


def train_seeds(
    source: ConfigSource,
    overrides: Overrides = (),
    *,
    seeds: int = 10,
    data: ArrayData | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    evaluate_test: bool = False,
    listeners: Listeners | None = None,
) -> SeedsResult:
    """Train the model of a config with several seeds, and save a group folder.

    Args:
        source: Config, see `train`; its `seed` is the first seed.
        overrides: See `load_config`; not allowed with a loaded config.
        seeds: Number of seeds, at least 2.
        data: See `train`.
        run_dir: Path of the group folder; None creates one under the runs folder.
        evaluate_test: Whether to evaluate the best model of each seed on the test split afterwards.
        listeners: Callbacks; None shows the progress in a notebook, and nothing elsewhere.

    Raises:
        UsageError: If the number of seeds is not valid.
        ConfigError: If `model.init` names a run that does not exist.
        DataError: If the data is missing, damaged or unsuitable, or the group folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If all seeds diverged.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    with notebook_listeners(listeners) as listeners, array_file(data) as arrays:
        loaded = load_with_arrays(source, overrides, arrays)
        path = None if run_dir is None else Path(run_dir)
        return begin_seeds(loaded, seeds, path, evaluate_test=evaluate_test, listeners=listeners, arrays=arrays)


def begin_seeds(
    loaded: LoadedConfig,
    seeds: int,
    run_dir: Path | None,
    *,
    evaluate_test: bool,
    listeners: Listeners,
    arrays: Path | None = None,
    train: TrainGroup = train_group_in,
) -> SeedsResult:
    """Begin a group, which may be a part of a sweep; see `train_seeds`."""
    chosen = choose_seeds(loaded.config, seeds)
    for note in loaded.notes:
        listeners.note(note)
    loaded, parent = find_parent(loaded)
    given = parent.parent if parent else None
    experiments = build_experiments(loaded.config, chosen, notify=listeners.notify, parent=given)
    loaded = add_found_settings(loaded, experiments[0])
    folder = GroupFolder(create_run(loaded.config.name, run_dir).path)
    with begin_run(folder, loaded, _manifest(experiments), parent, arrays):
        return train(folder, experiments, None, evaluate_test, listeners)


def resume_seeds(
    group: RunName,
    changes: LoadedConfig | Overrides = (),
    *,
    evaluate_test: bool = False,
    listeners: Listeners | None = None,
) -> SeedsResult:
    """Resume a training with several seeds from its last checkpoint, bit-identical to an uninterrupted one.

    Args:
        group: Group folder, name or result.
        changes: See `resume`.
        evaluate_test: Whether to evaluate the best model of each seed on the test split afterwards.
        listeners: Callbacks; None shows the progress in a notebook, and nothing elsewhere.

    Raises:
        UsageError: If the group does not exist, another process trains it, or other settings have changed.
        DataError: If the data or the group cannot be used, or the group folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If all seeds have diverged.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    folder = find_group(group)
    check_is_no_part_of_sweep(folder)
    with notebook_listeners(listeners) as listeners:
        return continue_seeds(folder, changes, evaluate_test=evaluate_test, listeners=listeners)


def continue_seeds(
    folder: GroupFolder,
    changes: LoadedConfig | Overrides = (),
    *,
    evaluate_test: bool,
    listeners: Listeners,
    train: TrainGroup = train_group_in,
) -> SeedsResult:
    """Continue a group, which may be a part of a sweep; see `resume_seeds`."""
    with lock_run(folder.path):
        original = load_config(folder.resolved)
        loaded = changes if isinstance(changes, LoadedConfig) else load_config(folder.resolved, changes)
        loaded = replace(loaded, config=loaded.config.with_data_of(original.config))
        check_changes(folder, original.config, loaded.config)
        point = find_group_point(folder, original.config)
        reason = _find_end(folder, point, loaded.config)
        if reason is not None:
            listeners.note(f"{folder.path}: {reason}")
            if not evaluate_test:
                return replace(group_result(folder), nothing_left=reason)
        experiments = _build_experiments(folder, point, loaded.config, listeners)
        if reason is not None:
            assert point.checkpoint is not None
            evaluate_members(folder, experiments, point.checkpoint.members)
            return replace(group_result(folder), nothing_left=reason)
        for note in point.notes:
            listeners.note(note)
        device = experiments[0].device
        for name, (before, current) in environment_changes(folder.read_manifest(), device).items():
            listeners.note(
                f"{name} was {before} and is now {current}: the last bits may differ from an uninterrupted run"
            )
        reopen_group(folder, original, loaded.config, point, device, sys.argv)
        return train(folder, experiments, point, evaluate_test, listeners)


def _manifest(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """Return the manifest of a new group: the manifest of a run, with all seeds in place of one."""
    first, seeds = experiments[0], [experiment.config.seed for experiment in experiments]
    record = build_manifest(first, sys.argv)
    counts = {str(experiment.config.seed): count_classes(experiment.splits) for experiment in experiments}
    others = {seed: count for seed, count in counts.items() if count and count != record["class_counts"]}
    del record["seed"]
    return record | {"seeds": seeds} | ({"class_counts_of": others} if others else {})


def _build_experiments(
    folder: GroupFolder, point: GroupPoint, config: Config, listeners: Listeners
) -> list[Experiment]:
    """Load the data of a group and build its models; check that the data is the same as before.

    Raises:
        DataError: If the data has changed since training, or cannot be used.
    """
    parent = load_parent(folder, config)
    experiments = build_experiments(config, folder.read_seeds(), notify=listeners.notify, parent=parent)
    check_data(folder, None, experiments[0].splits)
    for experiment, saved in zip(experiments, point.checkpoint.members if point.checkpoint else (), strict=False):
        check_data(folder, saved, experiment.splits)
    return experiments


def _find_end(folder: GroupFolder, point: GroupPoint, config: Config) -> str | None:
    """Return why a group is already complete, and which setting to raise; None if epochs remain.

    Raises:
        DivergedError: If all seeds have diverged.
    """
    members = point.checkpoint.members if point.checkpoint else ()
    if not members or point.notes or folder.status not in ("finished", "diverged"):
        return None
    if all(member.error for member in members):
        hint = f"start a new group with other settings: `dlcli train -c {folder.resolved} optimizer.lr=...`"
        raise DivergedError(f"all seeds of {folder.path} would diverge again: {members[0].error}", hint=hint)
    statuses = {find_status(member, config) for member in members}
    if "unfinished" in statuses:
        return None
    settings = [] if is_shaped_by_epochs(config) or "finished" not in statuses else ["training.epochs"]
    settings += ["early_stopping.patience"] if "stopped early" in statuses else []
    hint = f"; raise {' or '.join(settings)} to continue" if settings else ""
    return f"all {len(members)} seeds are done: nothing is left to train{hint}"
