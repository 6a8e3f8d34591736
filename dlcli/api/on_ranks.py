"""Training and verification on several processes: the first one has the run, the others only compute."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any

from dlcli.api.agreement import agree_on_experiment, agree_on_task, plan_world
from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.api.leading import share_result, train_together
from dlcli.api.resumption import Resumption, continue_run, find_run_to_resume, plan_resumption, result_of_ended
from dlcli.api.run_training import TrainResult, train_in
from dlcli.api.training import add_found_settings
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides
from dlcli.errors import Interrupted
from dlcli.experiment import Experiment, build_experiment
from dlcli.overview import describe_run
from dlcli.ranks import has_restarts, launch_id
from dlcli.runs.begin import begin_run
from dlcli.runs.create import create_run
from dlcli.runs.find import RunName, find_launched
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import build_manifest
from dlcli.runs.parent import ParentFile, find_parent
from dlcli.runs.run import RunLike
from dlcli.runs.sent import pack_run, unpacked_run
from dlcli.runs.tensorboard import LogName
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import FitEnded
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners, stop_requests
from dlcli.training.rank_messages import Ranks, open_ranks
from dlcli.training.state import TrainingState
from dlcli.verification.retrain import Target, retrain
from dlcli.verification.verify import Record, VerifyResult, compare_with_record, read_record


@dataclass(frozen=True)
class Options:
    """Options of a training, see `train`."""

    evaluate_test: bool
    log: Sequence[LogName]
    listeners: Listeners


def train_on_ranks(
    source: ConfigSource, overrides: Overrides, data: ArrayData | None, run_dir: Path | None, options: Options
) -> TrainResult:
    """Train on several processes, each of which calls this function; see `train`.

    After the launcher has restarted the processes, they continue the run that this launch has begun.

    Returns:
        The result of the first process.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    with open_ranks(options.listeners.note) as ranks, array_file(data) as arrays:
        agree_on_task(ranks, "train a new run")
        begun = ranks.tell(lambda: _find_begun(run_dir))
        if begun:
            return _resume(ranks, os.fsdecode(begun), (), options)
        listeners = options.listeners
        prepared, experiment, described = agree_on_experiment(
            ranks, lambda: _prepare(ranks, source, overrides, arrays, listeners), attrgetter("experiment")
        )

        def lead() -> TrainResult:
            loaded, parent = prepared.loaded, prepared.parent
            assert loaded is not None, "this is a new run"
            launch = launch_id()
            manifest = build_manifest(experiment, sys.argv, described) | {"launch": launch}
            created = create_run(loaded.config.name, run_dir, launch if has_restarts() else None)
            with begin_run(created, loaded, manifest, parent, arrays) as folder:
                return train_in(folder, experiment, None, options.evaluate_test, options.log, listeners)

        return train_together(ranks, lead, lambda: _compute(experiment, None, listeners), _decode)


def resume_on_ranks(run: RunName, changes: LoadedConfig | Overrides, options: Options) -> TrainResult:
    """Resume a run on several processes, each of which calls this function; see `resume`.

    Only the first process needs access to the run.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    with open_ranks(options.listeners.note) as ranks:
        agree_on_task(ranks, "resume a run", changes)
        return _resume(ranks, run, changes, options)


def verify_on_ranks(run: RunLike | None, data_root: str | None, listeners: Listeners) -> VerifyResult:
    """Verify a run on several processes, each of which calls this function; see `verify`.

    Only the first process needs access to the run.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    record: Record | None = None
    with open_ranks(listeners.note) as ranks:
        agree_on_task(ranks, "verify a run")

        def read() -> bytes:
            nonlocal record
            record = read_record(run, data_root, ranks.place.size)
            return pack_run(record.run.folder, None, record.config)

        def prepare() -> Experiment:
            if record is not None:
                return record.build_experiment(plan_world(ranks, record.config))
            with unpacked_run(message) as sent:
                return build_experiment(sent.config, parent=sent.parent, world=plan_world(ranks, sent.config))

        def lead() -> VerifyResult:
            assert record is not None, "this is the first process"
            return compare_with_record(record, experiment, retrain(experiment, record.target, listeners))

        message = ranks.tell(read)
        target = Target.decode(ranks.tell(lambda: record.target.encode() if record else b""))
        _, experiment, _ = agree_on_experiment(ranks, prepare, lambda prepared: prepared)
        return train_together(
            ranks, lead, lambda: retrain(experiment, target, listeners), lambda values: VerifyResult(**values)
        )


@dataclass(frozen=True)
class _Prepared:
    """Experiment of a process before training and, for a new run, its config and parent."""

    experiment: Experiment
    state: TrainingState | None = None
    loaded: LoadedConfig | None = None
    parent: ParentFile | None = None


def _resume(ranks: Ranks, run: RunName, changes: LoadedConfig | Overrides, options: Options) -> TrainResult:
    """Resume a run; the first process sends the other processes the files that they need."""
    listeners = options.listeners
    plan: Resumption | None = None
    with ExitStack() as stack:

        def open_run() -> bytes:
            nonlocal plan
            folder = find_run_to_resume(run)
            stack.enter_context(lock_run(folder.path))
            plan = plan_resumption(folder, changes, options.log, listeners)
            checkpoint = None if plan.point.checkpoint is None else folder.checkpoint(plan.point.which)
            return b"" if plan.nothing_left is not None else pack_run(folder, checkpoint, plan.config)

        def prepare() -> _Prepared:
            if plan is not None:
                return _Prepared(plan.build_experiment(listeners, plan_world(ranks, plan.config)))
            with unpacked_run(message) as sent:
                world = plan_world(ranks, sent.config)
                experiment = build_experiment(sent.config, notify=_be_silent, parent=sent.parent, world=world)
                return _Prepared(experiment, sent.checkpoint.training if sent.checkpoint else None)

        def lead() -> TrainResult:
            assert plan is not None, "this is the first process"
            return continue_run(plan, experiment, options.evaluate_test, listeners, described)

        message = ranks.tell(open_run)
        if not message:
            return share_result(ranks, lambda: result_of_ended(_found(plan), options.evaluate_test), _decode)
        prepared, experiment, described = agree_on_experiment(ranks, prepare, attrgetter("experiment"))
        return train_together(ranks, lead, lambda: _compute(experiment, prepared.state, listeners), _decode)


def _found(plan: Resumption | None) -> Resumption:
    assert plan is not None, "this is the first process"
    return plan


def _prepare(
    ranks: Ranks, source: ConfigSource, overrides: Overrides, arrays: Path | None, listeners: Listeners
) -> _Prepared:
    """Load config and data of a new run in this process."""
    loaded = load_with_arrays(source, overrides, arrays)
    if ranks.place.is_first:
        for note in loaded.notes:
            listeners.note(note)
    loaded, parent = find_parent(loaded)
    notify = listeners.notify if ranks.place.is_first else _be_silent
    world = plan_world(ranks, loaded.config)
    given = parent.parent if parent else None
    experiment = build_experiment(loaded.config, notify=notify, parent=given, world=world)
    return _Prepared(experiment, None, add_found_settings(loaded, experiment), parent)


def _be_silent(_: str) -> None:
    """Allow a download without a message; files are locked, so that only one process of a machine fetches them."""


def _compute(experiment: Experiment, state: TrainingState | None, listeners: Listeners) -> None:
    """Train without writing files; listeners receive only the start and the end of training.

    Raises:
        DivergedError: If the loss is no longer finite.
        Interrupted: If any process is asked to stop.
    """
    config, world, splits = experiment.config, experiment.world, experiment.splits
    threads = experiment.arithmetic.threads
    listeners.listen(describe_run(config, splits, experiment.model, experiment.device, threads, run=""))
    with convert_memory_errors(config), stop_requests(listeners) as should_stop:
        world.should_stop = should_stop
        fit = Fit(
            experiment.model,
            experiment.task,
            splits,
            config,
            state,
            arithmetic=experiment.arithmetic,
            report_seconds=inf,
            world=world,
        )
        for event in fit:
            if isinstance(event, FitEnded):
                listeners.listen(event)
            elif world.stop is not None:
                raise Interrupted("interrupted", signum=world.stop)


def _decode(values: dict[str, Any]) -> TrainResult:
    return TrainResult(**{**values, "recovered": tuple(values["recovered"])})


def _find_begun(run_dir: Path | None) -> bytes:
    """Return the folder of the run that this launch has begun; empty if there is none."""
    launch = launch_id() if has_restarts() else None
    folder = None if launch is None else find_launched(launch, run_dir)
    return b"" if folder is None else os.fsencode(folder.path)
