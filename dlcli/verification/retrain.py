"""Retraining of a run in memory, for comparison with its files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

from dlcli.errors import Interrupted
from dlcli.experiment import Experiment
from dlcli.overview import describe_run
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.checkpoint_maker import CheckpointMaker
from dlcli.runs.log import Row, epoch_row, log_digest, trace_line
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import EpochEnded, Event, FitEnded
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners
from dlcli.training.state import Position


@dataclass(frozen=True)
class Target:
    """End of the retraining and the checkpoints to keep on the way.

    Attributes:
        epochs: Number of epochs to complete.
        states: Training positions to keep a checkpoint of, by checkpoint name.
        best_epochs: Epochs to keep a best checkpoint of.
        to_end: Whether the run has ended, so that the retraining must end at the same point.
    """

    epochs: int
    states: Mapping[str, Position]
    best_epochs: Collection[int]
    to_end: bool

    def encode(self) -> bytes:
        """Return the target as a message, which `decode` reads in another process."""
        return json.dumps({**asdict(self), "best_epochs": [*self.best_epochs]}).encode()

    @staticmethod
    def decode(message: bytes) -> Target:
        """Return the target in a message of `encode`."""
        values = json.loads(message)
        states = {name: Position(**position) for name, position in values["states"].items()}
        return Target(**{**values, "states": states})


@dataclass
class RetrainedRun:
    """Results of the retraining.

    Attributes:
        position: Last training position.
        rows: Rows of metrics.jsonl.
        traces: Lines of trace.jsonl.
        states: Checkpoints at the positions of the target; positions that were not reached are missing.
        bests: Best checkpoints for the epochs of the target; epochs that did not improve the best so far are missing.
        best_epoch: Best epoch so far; 0 before the first epoch is complete.
        status: `finished` or `stopped early`; None if training was not complete.
    """

    position: Position = field(default_factory=Position)
    rows: list[Row] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    states: dict[str, Checkpoint] = field(default_factory=dict)
    bests: dict[int, Checkpoint] = field(default_factory=dict)
    best_epoch: int = 0
    status: str | None = None


def retrain(experiment: Experiment, target: Target, listeners: Listeners) -> RetrainedRun:
    """Train the model of `experiment` in place, up to a target.

    Args:
        experiment: Data and untrained model of the run, with its arithmetic; each process needs its own experiment.
        target: End of the retraining and checkpoints to keep.
        listeners: Callbacks.

    Raises:
        DivergedError: If training diverges.
        Interrupted: If `listeners.should_stop` returns a signal number.
    """
    world, threads = experiment.world, experiment.arithmetic.threads
    if listeners.should_stop is not None:
        world.should_stop = listeners.should_stop
    listeners.listen(
        describe_run(experiment.config, experiment.splits, experiment.model, experiment.device, threads, run="")
    )
    within_epochs = any(position.examples for position in target.states.values())
    # With a report after every step, training can end within an epoch, and processes can stop after the same step.
    report_seconds = 0.0 if within_epochs or world.size > 1 else None
    retrained, is_reached = RetrainedRun(), False
    with convert_memory_errors(experiment.config):
        fit = Fit(
            experiment.model,
            experiment.task,
            experiment.splits,
            experiment.config,
            arithmetic=experiment.arithmetic,
            report_seconds=report_seconds,
            world=world,
        )
        splits = experiment.splits
        scalings = (splits.input_scaling, splits.target_scaling)
        make = CheckpointMaker(experiment.config, splits.info, *scalings, fit.arithmetic)
        for event in fit:
            if isinstance(event, FitEnded):
                retrained.status = "finished" if event.reason == "epochs" else "stopped early"
            if is_reached or isinstance(event, FitEnded):
                break
            listeners.listen(event)
            _record(retrained, event, fit, make, target)
            is_reached = _has_reached(fit.position, target)
            if is_reached and not target.to_end:
                break
            if signum := world.find_stop():
                raise Interrupted("interrupted; verification saves no state", signum=signum)
    return retrained


def _record(retrained: RetrainedRun, event: Event, fit: Fit, make: CheckpointMaker, target: Target) -> None:
    """Record the data that a run would write to its files after an event."""
    retrained.position = fit.position
    if isinstance(event, EpochEnded):
        retrained.rows.append(epoch_row(event))
        if event.trace is not None:
            retrained.traces.append(trace_line(event.epoch, event.trace))
        if event.is_best:
            retrained.best_epoch = event.epoch
            if event.epoch in target.best_epochs:
                retrained.bests[event.epoch] = make.best(fit.parameters(), fit.position, retrained.rows[-1])
    for name, position in target.states.items():
        if position == fit.position:
            rows = retrained.rows
            retrained.states[name] = make.last(fit.state(), rows[-1] if rows else None, None, log_digest(rows))


def _has_reached(position: Position, target: Target) -> bool:
    steps = max((state.step for state in target.states.values()), default=0)
    return position.epochs >= target.epochs and position.step >= steps
