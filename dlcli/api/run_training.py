"""Training in a run folder, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.errors import Interrupted
from dlcli.evaluation.evaluate import evaluate_best
from dlcli.experiment import Experiment
from dlcli.overview import describe_run
from dlcli.ranks import resume_hint
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.recorder import Recorder
from dlcli.runs.resume import ResumePoint
from dlcli.runs.run import Run
from dlcli.runs.tensorboard import LogName, TensorBoardLog
from dlcli.training.device import convert_memory_errors
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded, RunStarted
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners, stop_requests
from dlcli.training.world import World

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


def train_in(
    folder: RunFolder,
    experiment: Experiment,
    point: ResumePoint | None,
    evaluate_test: bool,
    log: Sequence[LogName],
    listeners: Listeners,
) -> TrainResult:
    """Train in a locked run folder, from the first epoch or from `point`."""
    config, splits, world = experiment.config, experiment.splits, experiment.world
    checkpoint = point.checkpoint if point else None
    step, state = (checkpoint.step, checkpoint.training) if checkpoint else (None, None)
    arithmetic = state.arithmetic if state else experiment.arithmetic
    place = (experiment.device, arithmetic.threads, str(folder.path))
    started = describe_run(config, splits, experiment.model, *place, step, world.size)
    listeners.listen(started)
    with convert_memory_errors(config), stop_requests(listeners) as should_stop:
        world.should_stop = should_stop
        fit = Fit(experiment.model, experiment.task, splits, config, state, arithmetic=arithmetic, world=world)
        rows = point.rows if point else ()
        boards = [TensorBoardLog(folder, config, rows, listeners.note) for _ in log]
        first = fit.position.epochs + 1
        with Recorder(folder, fit, splits, config, point) as recorder:
            for event in fit:
                recorder.handle(event)
                if isinstance(event, EpochEnded) and event.epoch == first and (note := note_waiting(world, event)):
                    listeners.note(note)
                for board in boards:
                    board.handle(event)
                if caught := listeners.emit(event):
                    world.should_stop = partial(int, caught)  # all processes stop after the same step
                if signum := world.find_stop():
                    position = _describe_position(fit, started)
                    hint = resume_hint(as_argument(str(folder.path)))
                    saved = folder.checkpoint("last")
                    raise Interrupted(f"interrupted {position}; saved {saved}", signum=signum, hint=hint)
    if should_draw(folder, config):
        from dlcli.plots.draw import draw_after_training  # imports matplotlib, which is slow

        draw_after_training(Run(folder), experiment, listeners.note)
    result = train_result(folder, experiment, evaluate_test)
    for board in boards:
        board.finish(folder.read_summary(), fit.position.step)
    recovered = tuple(point.notes) if point else ()
    return replace(
        result,
        steps_trained=fit.position.step - (step or 0),
        recovered=recovered,
        warning=_warn_of_guessing(result, experiment),
    )


def note_waiting(world: World, event: EpochEnded) -> str | None:
    """Return a note if communication took more than half of an epoch, as measured by the first of several processes."""
    share = world.waited_seconds / event.epoch_seconds
    if world.size == 1 or share <= 0.5:
        return None
    return (
        f"{share:.0%} of epoch {event.epoch} was communication between {world.size} processes: one process may be "
        "faster, and larger batches need less of it"
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
    if value is None or value > constant:  # R² of a constant target is None
        return None
    return (
        f"the model is no better than guessing: {splits.monitored_name} {metric} {value:.3f}; "
        f"`dlcli runs show {as_argument(result.run)} --diagnose` looks for the reason"
    )


def should_draw(folder: RunFolder, config: Config) -> bool:
    """Return whether to draw plots after training; see the setting `plots`."""
    return config.plots == "always" or (config.plots == "auto" and folder.read_summary()["seconds"] >= LONG_SECONDS)


def train_result(folder: RunFolder, experiment: Experiment | None, evaluate_test: bool) -> TrainResult:
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
