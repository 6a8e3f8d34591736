"""Training: planned, begun, continued."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.errors import DivergedError, Interrupted
from dlcli.evaluation.evaluate import evaluate_best
from dlcli.experiment import Setup, set_up
from dlcli.overview import describe_run
from dlcli.runs.begin import begin_run
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.identity import is_shaped_by_epochs
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import environment_changes
from dlcli.runs.recorder import Recorder
from dlcli.runs.resume import ResumePoint, check_changes, check_summary, find_resume_point, reopen_run
from dlcli.runs.run import Run
from dlcli.runs.trained_run import check_data, check_fit
from dlcli.training.device import memory_errors_named
from dlcli.training.events import RunStarted
from dlcli.training.fit import Fit
from dlcli.training.listeners import NOBODY, Listeners, stop_wish

LONG_SECONDS = 10.0  # of training, after which `plots: auto` draws; drawing takes a second or two


@dataclass(frozen=True)
class TrainResult:
    """What a run came to; `asdict` of it is what `dlcli train --json` prints.

    Attributes:
        run: The run's folder.
        status: finished, or stopped early.
        steps_trained: Optimizer updates of this call; 0 where nothing was left to train.
        epochs: How many were done.
        best_epoch: The one whose checkpoint is `best`.
        best_because: Which metric made it best.
        checkpoints: Files of `best` and `last`.
        val: Metrics of the validation split after the best epoch.
        seconds: From the first step to the last checkpoint, without what lay between a stop and going on.
        test: Metrics of the best checkpoint on the test split, where asked for.
        recovered: What was damaged or missing, and passed over, where a run was resumed.
        nothing_left: Why nothing was left to train, and what to raise to continue; None where something was.
    """

    run: str
    status: str
    steps_trained: int
    epochs: int
    best_epoch: int
    best_because: str
    checkpoints: dict[str, str]
    val: dict[str, float]
    seconds: float
    test: dict[str, Any] | None = None
    recovered: tuple[str, ...] = ()
    nothing_left: str | None = None


def plan(source: str | os.PathLike[str] | LoadedConfig, overrides: Sequence[str] = ()) -> RunStarted:
    """Return what `train` would do, without training or leaving anything behind."""
    setup = set_up(load_config(source, overrides).config)
    return describe_run(setup.config, setup.splits, setup.model, setup.device, setup.arithmetic.threads, run="")


def train(
    source: str | os.PathLike[str] | LoadedConfig,
    overrides: Sequence[str] = (),
    *,
    run_dir: Path | None = None,
    evaluate_test: bool = False,
    listeners: Listeners = NOBODY,
) -> TrainResult:
    """Train what a config describes, and leave a run folder behind.

    Args:
        source: YAML file, name of a preset, or a config from `load_config`.
        overrides: Assignments such as `training.epochs=10`; only with a file or a preset.
        run_dir: Where to make the run folder, instead of under the runs folder.
        evaluate_test: Whether to measure the best checkpoint on the test split afterwards.
        listeners: Who is told what.

    Raises:
        DataError: If data is missing, damaged or unfit, or the run folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If the loss stops being finite; the checkpoints of better times are kept.
        Interrupted: If `listeners.should_stop` said so.
    """
    loaded = load_config(source, overrides)
    setup = set_up(loaded.config, notify=listeners.notify)
    with begin_run(loaded, setup.splits.info, setup.device, setup.arithmetic, sys.argv, run_dir) as folder:
        return _train_in(folder, setup, None, evaluate_test, listeners)


def resume(
    run: str,
    loaded: LoadedConfig | None = None,
    *,
    evaluate_test: bool = False,
    listeners: Listeners = NOBODY,
) -> TrainResult:
    """Continue a run from its last checkpoint, as if it had never stopped.

    Args:
        run: A run's folder or name.
        loaded: The config to continue with: the run's own but for settings that change no number, and higher values
            of `training.epochs` and `early_stopping.patience`. None takes the run's own.
        evaluate_test: Whether to measure the best checkpoint on the test split afterwards.
        listeners: Who is told what.

    Returns:
        At once, with `steps_trained` 0, where nothing is left to train: all epochs are done, or early stopping has
        ended the run and its patience is not raised.

    Raises:
        UsageError: If there is no such run, another process trains it, or the settings have changed.
        DataError: If data or run cannot be used, or the run folder cannot be written.
        DeviceError: If the device is missing, or its memory is too small.
        DivergedError: If the run diverged, or does.
        Interrupted: If `listeners.should_stop` said so.
    """
    folder = find_run(run)
    with lock_run(folder.path):
        own = load_config(folder.resolved)
        loaded = loaded or own
        check_changes(folder, own.config, loaded.config)
        point = find_resume_point(folder, own.config)
        check_summary(folder, point, loaded.config)
        if reason := _find_end(folder, point, loaded.config):
            listeners.note(f"{folder.path}: {reason}")
            return replace(_train_result(folder, None, evaluate_test), nothing_left=reason)
        setup = set_up(loaded.config, notify=listeners.notify)
        check_data(folder, point.checkpoint, setup.splits)
        if point.checkpoint is not None:
            check_fit(folder, point.checkpoint, setup)
        for note in point.notes:
            listeners.note(note)
        for name, (then, now) in environment_changes(folder.read_manifest(), setup.device).items():
            listeners.note(f"{name} was {then} and is {now}: the last bits may differ from a run in one go")
        reopen_run(folder, own, loaded.config, point, setup.device, sys.argv)
        return _train_in(folder, setup, point, evaluate_test, listeners)


def _find_end(folder: RunFolder, point: ResumePoint, config: Config) -> str | None:
    """Return why nothing is left to train, and what to raise to train on; None if something is left.

    Raises:
        DivergedError: If the run diverged: it would again.
    """
    summary = folder.read_summary()
    if summary["status"] == "diverged":
        hint = f"train anew with other settings: `dlcli train -c {folder.resolved} optimizer.lr=...`"
        raise DivergedError(f"{folder.path} would end as it did: {summary.get('error')}", hint=hint)
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
    folder: RunFolder, setup: Setup, point: ResumePoint | None, evaluate_test: bool, listeners: Listeners
) -> TrainResult:
    """Train in a run folder that this process owns, from its start or from `point`."""
    config, splits = setup.config, setup.splits
    checkpoint = point.checkpoint if point else None
    step, state = (checkpoint.step, checkpoint.training) if checkpoint else (None, None)
    arithmetic = state.arithmetic if state else setup.arithmetic
    started = describe_run(config, splits, setup.model, setup.device, arithmetic.threads, str(folder.path), step)
    listeners.listen(started)
    with memory_errors_named(config), stop_wish(listeners) as should_stop:
        fit = Fit(setup.model, setup.task, splits, config, state)
        with Recorder(folder, fit, splits, config, point) as recorder:
            for event in fit:
                recorder.handle(event)
                if signum := listeners.tell(event) or should_stop():
                    where = f"epoch {fit.position.epochs + 1}, step {fit.position.step}"
                    hint = f"`dlcli train --resume {as_argument(str(folder.path))}` continues from there"
                    saved = folder.checkpoint("last")
                    raise Interrupted(f"interrupted in {where}; saved {saved}", signum=signum, hint=hint)
    if _asks_for_pictures(folder, config):
        from dlcli.plots.draw import draw_after_training  # what draws is not imported where nothing is drawn

        draw_after_training(Run(folder), setup, listeners.note)
    result = _train_result(folder, setup, evaluate_test)
    recovered = tuple(point.notes) if point else ()
    return replace(result, steps_trained=fit.position.step - (step or 0), recovered=recovered)


def _asks_for_pictures(folder: RunFolder, config: Config) -> bool:
    return config.plots == "always" or (config.plots == "auto" and folder.read_summary()["seconds"] >= LONG_SECONDS)


def _train_result(folder: RunFolder, setup: Setup | None, evaluate_test: bool) -> TrainResult:
    """Return what a run came to, measured on the test split where asked for."""
    summary = folder.read_summary()
    test = None
    if evaluate_test:
        device = setup.config.training.device if setup else "auto"
        test = evaluate_best(Run(folder), device, setup)
        write_json(folder.summary, {**summary, "test": test})
    return TrainResult(
        run=str(folder.path),
        checkpoints={which: str(folder.checkpoint(which)) for which in ("best", "last")},
        test=test,
        steps_trained=0,
        **{key: summary[key] for key in ("status", "epochs", "best_epoch", "best_because", "val", "seconds")},
    )
