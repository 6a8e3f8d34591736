"""Choice of the point to resume a run from, and training from there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlcli.api.run_training import TrainResult, train_in, train_result
from dlcli.config.load import LoadedConfig, Overrides, load_config
from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError, UsageError
from dlcli.experiment import Experiment
from dlcli.runs.find import RunName, find_run
from dlcli.runs.folder import GROUP, RunFolder
from dlcli.runs.identity import is_shaped_by_epochs
from dlcli.runs.manifest import environment_changes, read_arithmetic
from dlcli.runs.reopen import reopen_run
from dlcli.runs.resume import ResumePoint, check_changes, check_summary, find_resume_point
from dlcli.runs.run_data import build_run_experiment
from dlcli.runs.tensorboard import LogName, logs_to_continue
from dlcli.runs.trained_run import check_position
from dlcli.runs.worlds import read_worlds
from dlcli.sweeps.folder import find_sweep_of
from dlcli.training.listeners import Listeners
from dlcli.training.world import World


@dataclass(frozen=True)
class Resumption:
    """Run to resume, with the checkpoint and the config to continue with.

    Attributes:
        folder: Run folder, locked by this process.
        original: Config of the run.
        config: Config to continue with.
        point: Point to resume from.
        log: Logs in addition to the metrics log.
        nothing_left: Why the run is already complete; None if epochs remain.
    """

    folder: RunFolder
    original: LoadedConfig
    config: Config
    point: ResumePoint
    log: Sequence[LogName]
    nothing_left: str | None

    def build_experiment(
        self, listeners: Listeners, world: World | None = None, splits: Splits | None = None
    ) -> Experiment:
        """Return the experiment of the run, see `build_run_experiment`.

        Raises:
            DataError: If the data has changed since training, or cannot be used.
        """
        folder, checkpoint = self.folder, self.point.checkpoint
        notify, config = listeners.notify, self.config
        experiment = build_run_experiment(folder, checkpoint, config, notify=notify, splits=splits, world=world)
        if checkpoint is not None:
            check_position(folder, checkpoint, experiment)
            return experiment
        return replace(experiment, arithmetic=read_arithmetic(folder.read_manifest()) or experiment.arithmetic)


def plan_resumption(
    folder: RunFolder, changes: LoadedConfig | Overrides, log: Sequence[LogName], listeners: Listeners
) -> Resumption:
    """Choose the checkpoint to resume a run from; see `resume`.

    Raises:
        UsageError: If other settings have changed.
        DataError: If the run cannot be used.
        DivergedError: If the run has diverged.
    """
    log = logs_to_continue(folder, log, listeners.note)
    original = load_config(folder.resolved)
    loaded = changes if isinstance(changes, LoadedConfig) else load_config(folder.resolved, changes)
    config = loaded.config.with_data_of(original.config)
    check_changes(folder, original.config, config)
    point = find_resume_point(folder, original.config)
    check_summary(folder, point, config)
    reason = _find_end(folder, point, config)
    if reason is not None:
        listeners.note(f"{folder.path}: {reason}")
    return Resumption(folder, original, config, point, log, reason)


def result_of_ended(plan: Resumption, evaluate_test: bool) -> TrainResult:
    """Return the result of a run that is already complete."""
    return replace(train_result(plan.folder, None, evaluate_test), nothing_left=plan.nothing_left)


def continue_run(
    plan: Resumption,
    experiment: Experiment,
    evaluate_test: bool,
    listeners: Listeners,
    world: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a run from its resume point to the end; see `resume`.

    Args:
        plan: Run to resume.
        experiment: Experiment of the run.
        evaluate_test: Whether to evaluate the best checkpoint on the test split afterwards.
        listeners: Callbacks.
        world: Record of the processes, see `describe_world`; None means only this process.
    """
    folder, point, manifest = plan.folder, plan.point, plan.folder.read_manifest()
    notes = [
        f"{name} was {before} and is now {current}: the last bits may differ from an uninterrupted run"
        for name, (before, current) in environment_changes(manifest, experiment.device).items()
    ]
    before, current = read_worlds(manifest)[-1]["size"], experiment.world.size
    if before != current and experiment.world.shards is None:
        notes.append(
            f"the run had {before} process{'' if before == 1 else 'es'} and now has {current}: the last bits "
            "may differ from an uninterrupted run, as they would not with training.shards"
        )
    for note in (*point.notes, *notes):
        listeners.note(note)
    reopen_run(folder, plan.original, plan.config, point, experiment, sys.argv, world)
    return train_in(folder, experiment, point, evaluate_test, plan.log, listeners)


def find_run_to_resume(run: RunName) -> RunFolder:
    """Return the folder of a run to resume.

    Raises:
        UsageError: If there is no such run, or it belongs to a group or sweep, which can only be resumed as a whole.
    """
    folder = find_run(run)
    check_is_no_part_of_sweep(folder)
    if (folder.path.parent / GROUP).exists():
        group = as_argument(str(folder.path.parent))
        message = f"{folder.path} is a seed of a group, which is resumed as a whole"
        raise UsageError(message, hint=f"run `dlcli train --resume {group}`")
    return folder


def check_is_no_part_of_sweep(folder: RunFolder) -> None:
    """Check that a run or group does not belong to a sweep.

    Only the sweep itself resumes its parts, because it determines how far to train them and records their results.

    Raises:
        UsageError: If the run or group belongs to a sweep.
    """
    sweep = find_sweep_of(folder.path)
    if sweep is not None:
        path = min(str(sweep.path), os.path.relpath(sweep.path), key=len)
        message = f"{folder.path} is a part of a sweep, whose results would not agree with it any more"
        raise UsageError(message, hint=f"continue the sweep with `dlcli sweep --resume {as_argument(path)}`")


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
