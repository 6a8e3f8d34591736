"""Does a run come to the same again?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from dlcli.analysis.verification import compare_rows, compare_tensors
from dlcli.api.setup import Setup, load_run_config, set_up
from dlcli.api.training import NOBODY, Listeners
from dlcli.errors import Interrupted, UsageError
from dlcli.reporters.overview import describe_run
from dlcli.runs.checkpoint import Checkpoint, load_checkpoint
from dlcli.runs.folder import RunFolder, find_run
from dlcli.runs.log import CLOCK, Row, epoch_row, read_rows
from dlcli.runs.manifest import environment_changes
from dlcli.training.device import memory_errors_named
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit
from dlcli.training.state import TrainingState


@dataclass(frozen=True)
class VerifyResult:
    """Whether a run came to the same again; `asdict` of it is what `dlcli verify --json` prints.

    Attributes:
        run: The run's folder.
        identical: Whether every figure and every parameter is the same, bit for bit.
        epochs: How many were trained again.
        step: Optimizer updates that were made again.
        differences: What is not the same.
        environment: What is different about the machine and the software: by name, `then` and `now`.
    """

    run: str
    identical: bool
    epochs: int
    step: int
    differences: list[str]
    environment: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class _Repeated:
    """What training again came to."""

    rows: list[Row]
    best: dict[str, torch.Tensor]
    state: TrainingState


def verify(
    run: str | None = None,
    *,
    data_root: str | None = None,
    listeners: Listeners = NOBODY,
) -> VerifyResult:
    """Train again from a run's own record, up to its last checkpoint, and compare bit by bit.

    It takes as many threads as the run did, and the device that the run's config names. Nothing is left behind.

    Args:
        run: A run's folder or name; None is the newest.
        data_root: Where the data lies, if not where it lay for training.
        listeners: Who is told what.

    Raises:
        UsageError: If there is no such run, or nothing in it to compare with.
        DataError: If the run, its checkpoints or its data cannot be used.
        DivergedError: If training diverges, as the run has not.
        Interrupted: If `listeners.should_stop` said so.
    """
    folder = find_run(run)
    manifest, last = folder.read_manifest(), _load_last(folder)
    best = load_checkpoint(folder.checkpoint("best")) if last.training and last.training.best.best_epoch else None
    setup = set_up(load_run_config(folder, data_root=data_root))
    environment = environment_changes(manifest, setup.device)
    repeated = _train_again(setup, last, listeners)
    differences = _compare(folder, last, best, repeated)
    if manifest.get("data", {}).get("sha256", {}) != dict(setup.splits.info.checksums):
        differences.insert(0, "the data is other data: its checksums differ")
    return VerifyResult(
        run=str(folder.path),
        identical=not differences,
        epochs=repeated.state.position.epochs,
        step=repeated.state.position.step,
        differences=differences,
        environment={name: {"then": then, "now": now} for name, (then, now) in environment.items()},
    )


def _compare(folder: RunFolder, last: Checkpoint, best: Checkpoint | None, repeated: _Repeated) -> list[str]:
    """Return where training again came to something else."""
    assert last.training is not None
    position = repeated.state.position
    differences = compare_rows(read_rows(folder.path)[: position.epochs], repeated.rows, besides=CLOCK)
    if position != last.training.position:
        differences.append(f"last was saved at {last.training.position}, which training again does not meet")
    differences += compare_tensors("last", last.parameters, repeated.state.parameters)
    differences += compare_tensors("optimizer of last", last.training.optimizer, repeated.state.optimizer)
    if best is not None and best.epoch <= position.epochs:
        differences += compare_tensors("best", best.parameters, repeated.best)
    return differences


def _load_last(folder: RunFolder) -> Checkpoint:
    if not folder.checkpoint("last").exists():
        raise UsageError(f"{folder.path} has nothing to compare with yet", hint="`dlcli train --resume RUN` goes on")
    last = load_checkpoint(folder.checkpoint("last"))
    if last.training is None:
        raise UsageError(f"{folder.checkpoint('last')} holds a model alone, not how far it came")
    return last


def _train_again(setup: Setup, last: Checkpoint, listeners: Listeners) -> _Repeated:
    """Train up to the position of a checkpoint."""
    assert last.training is not None
    target = last.training.position
    listeners.listen(
        describe_run(setup.config, setup.splits, setup.model, setup.device, last.training.arithmetic.threads, run="")
    )
    looks = 0.0 if target.examples else None  # within an epoch, it is met only if every look is taken
    rows: list[Row] = []
    best: dict[str, torch.Tensor] = {}
    with memory_errors_named(setup.config):
        fit = Fit(
            setup.model,
            setup.task,
            setup.splits,
            setup.config,
            arithmetic=last.training.arithmetic,
            report_seconds=looks,
        )
        for event in fit:
            listeners.listen(event)
            if isinstance(event, EpochEnded):
                rows.append(epoch_row(event))
                best = fit.parameters() if event.is_best else best
            if fit.position.step >= target.step and fit.position.epochs >= target.epochs:
                break
            if signum := listeners.should_stop():
                raise Interrupted("interrupted; a verification has nothing to save", signum=signum)
        return _Repeated(rows, best, fit.state())
