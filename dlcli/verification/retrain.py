"""A run's training once more, without a run folder: what its files should hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dlcli.errors import Interrupted
from dlcli.experiment import Setup
from dlcli.overview import describe_run
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.checkpoint_maker import CheckpointMaker
from dlcli.runs.log import Row, epoch_row, log_digest, trace_line
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.device import memory_errors_named
from dlcli.training.events import EpochEnded, Event, FitEnded
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners
from dlcli.training.state import Position


@dataclass(frozen=True)
class Target:
    """How far to train again, and what to keep on the way.

    Attributes:
        arithmetic: The run's.
        epochs: Ended epochs to reach.
        states: Positions to take a checkpoint at, by name.
        best_epochs: Epochs to keep the best checkpoint of.
        to_end: Whether the run has ended, so that this should end there too.
    """

    arithmetic: Arithmetic
    epochs: int
    states: Mapping[str, Position]
    best_epochs: Collection[int]
    to_end: bool


@dataclass
class Repeated:
    """What training again came to.

    Attributes:
        position: How far it came.
        rows: The log.
        traces: Lines of trace.jsonl.
        states: Checkpoints at the positions of the target; one that was not met is not there.
        bests: Best checkpoints of the epochs of the target; an epoch that was not the best so far is not there.
        best_epoch: The last epoch that was the best so far; 0 before the first has ended.
        status: finished or stopped early, where it ended; None where it would go on.
    """

    position: Position = field(default_factory=Position)
    rows: list[Row] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    states: dict[str, Checkpoint] = field(default_factory=dict)
    bests: dict[int, Checkpoint] = field(default_factory=dict)
    best_epoch: int = 0
    status: str | None = None


def train_again(setup: Setup, target: Target, listeners: Listeners) -> Repeated:
    """Train up to a target; the model of `setup` is trained in place.

    Args:
        setup: The run's data and model, new.
        target: How far.
        listeners: Who is told what.

    Raises:
        DivergedError: If training diverges.
        Interrupted: If `listeners.should_stop` said so.
    """
    threads = target.arithmetic.threads
    listeners.listen(describe_run(setup.config, setup.splits, setup.model, setup.device, threads, run=""))
    within_epochs = any(position.examples for position in target.states.values())
    looks = 0.0 if within_epochs else None  # such a position is met only if every look is taken
    repeated, is_reached = Repeated(), False
    with memory_errors_named(setup.config):
        fit = Fit(
            setup.model,
            setup.task,
            setup.splits,
            setup.config,
            arithmetic=target.arithmetic,
            report_seconds=looks,
        )
        make = CheckpointMaker(fit, setup.splits, setup.config)
        for event in fit:
            if isinstance(event, FitEnded):
                repeated.status = "finished" if event.reason == "epochs" else "stopped early"
            if is_reached or isinstance(event, FitEnded):
                break
            listeners.listen(event)
            _keep(repeated, event, fit, make, target)
            is_reached = _has_reached(fit.position, target)
            if is_reached and not target.to_end:
                break
            if listeners.should_stop is not None and (signum := listeners.should_stop()):
                raise Interrupted("interrupted; a verification has nothing to save", signum=signum)
    return repeated


def _keep(repeated: Repeated, event: Event, fit: Fit, make: CheckpointMaker, target: Target) -> None:
    """Take note of what a run would have written after an event."""
    repeated.position = fit.position
    if isinstance(event, EpochEnded):
        repeated.rows.append(epoch_row(event))
        if event.trace is not None:
            repeated.traces.append(trace_line(event.epoch, event.trace))
        if event.is_best:
            repeated.best_epoch = event.epoch
            if event.epoch in target.best_epochs:
                repeated.bests[event.epoch] = make.best(repeated.rows)
    for name, position in target.states.items():
        if position == fit.position:
            repeated.states[name] = make.last(fit.state(), repeated.rows, None, log_digest(repeated.rows))


def _has_reached(position: Position, target: Target) -> bool:
    steps = max((one.step for one in target.states.values()), default=0)
    return position.epochs >= target.epochs and position.step >= steps
