"""Training of one model on several processes: the first one writes the run, the others only compute."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from dlcli.api.agreement import check_same, describe_experiment
from dlcli.api.array_data import ArrayData, array_file, load_with_arrays
from dlcli.api.resumption import Resumption, continue_run, find_run_to_resume, plan_resumption, result_of_ended
from dlcli.api.run_training import TrainResult, train_in
from dlcli.api.training import add_found_settings
from dlcli.config.load import ConfigSource, LoadedConfig, Overrides
from dlcli.config.schema import Config
from dlcli.errors import DivergedError, DlcliError, Interrupted, RemoteError, full_record
from dlcli.experiment import Experiment, build_experiment
from dlcli.overview import describe_run
from dlcli.ranks import launch_id
from dlcli.runs.begin import begin_run
from dlcli.runs.files import to_json
from dlcli.runs.find import RunName, find_launched
from dlcli.runs.folder import create_run
from dlcli.runs.lock import lock_run
from dlcli.runs.manifest import build_manifest, describe_world
from dlcli.runs.parent import ParentFile, find_parent
from dlcli.runs.sent import pack_run, unpacked_run
from dlcli.runs.tensorboard import LogName
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.batches import examples_per_batch
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import FitEnded
from dlcli.training.fit import Fit
from dlcli.training.listeners import Listeners, stop_requests
from dlcli.training.ranks import Ranks, check_batch_size, check_world, open_ranks
from dlcli.training.state import TrainingState
from dlcli.training.world import World

_COMMON = (DivergedError, Interrupted)  # errors of training that all processes raise after the same step


@dataclass(frozen=True)
class Options:
    """Options of a training, see `train`."""

    evaluate_test: bool
    log: Sequence[LogName]
    listeners: Listeners


def train_on_ranks(
    source: ConfigSource, overrides: Overrides, data: ArrayData | None, run_dir: Path | None, options: Options
) -> TrainResult:
    """Train on several processes, each of which calls this; see `train`.

    After a restart by the launcher, continue the run that this launch has begun.

    Returns:
        The result of the first process.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    with open_ranks() as ranks, array_file(data) as arrays:
        begun = ranks.tell(lambda: _find_begun(run_dir))
        if begun:
            return _resume(ranks, os.fsdecode(begun), (), options)
        listeners = options.listeners
        prepared, records = ranks.agree(lambda: _prepare(ranks, source, overrides, arrays, listeners), _describe)
        experiment, described = _agreed(ranks, prepared.experiment, records)

        def lead() -> TrainResult:
            loaded, parent = prepared.loaded, prepared.parent
            assert loaded is not None, "this is a new run"
            manifest = build_manifest(experiment, sys.argv, described) | {"launch": launch_id()}
            with begin_run(create_run(loaded.config.name, run_dir), loaded, manifest, parent, arrays) as folder:
                return train_in(folder, experiment, None, options.evaluate_test, options.log, listeners)

        return _train(ranks, experiment, None, lead, listeners)


def resume_on_ranks(run: RunName, changes: LoadedConfig | Overrides, options: Options) -> TrainResult:
    """Resume a run on several processes, each of which calls this; see `resume`.

    Only the first process needs access to the run.

    Raises:
        RemoteError: If an error has ended another process.
        LostProcess: If another process has ended without an error, or does not answer.
    """
    with open_ranks() as ranks:
        return _resume(ranks, run, changes, options)


@dataclass(frozen=True)
class _Prepared:
    """Experiment of a process before training and, for a new run, its config and parent."""

    experiment: Experiment
    state: TrainingState | None = None
    loaded: LoadedConfig | None = None
    parent: ParentFile | None = None


def _resume(ranks: Ranks, run: RunName, changes: LoadedConfig | Overrides, options: Options) -> TrainResult:
    """Resume a run; the first process sends the others what they need of it."""
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
                return _Prepared(plan.build_experiment(listeners, _world(ranks, plan.config)))
            sent = stack.enter_context(unpacked_run(message))
            world = _world(ranks, sent.config)
            experiment = build_experiment(sent.config, notify=_be_silent, parent=sent.parent, world=world)
            return _Prepared(experiment, sent.checkpoint.training if sent.checkpoint else None)

        def lead() -> TrainResult:
            assert plan is not None, "this is the first process"
            return continue_run(plan, experiment, options.evaluate_test, listeners, described)

        message = ranks.tell(open_run)
        if not message:
            return _result_of_first(ranks, lambda: result_of_ended(_found(plan), options.evaluate_test))
        prepared, records = ranks.agree(prepare, _describe)
        experiment, described = _agreed(ranks, prepared.experiment, records)
        return _train(ranks, experiment, prepared.state, lead, listeners)


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
    world = _world(ranks, loaded.config)
    given = parent.parent if parent else None
    experiment = build_experiment(loaded.config, notify=notify, parent=given, world=world)
    return _Prepared(experiment, None, add_found_settings(loaded, experiment), parent)


def _be_silent(_: str) -> None:
    """Allow a download without a message; files are locked, so that one process of a machine fetches them."""


def _world(ranks: Ranks, config: Config) -> World:
    """Return the world of the processes, without a group yet.

    Raises:
        UsageError: If the settings do not fit the number of processes.
    """
    place = ranks.place
    check_world(config, place)
    return World(place.rank, place.size, place.local_rank, place.local_size, config.training.shards)


def _describe(prepared: _Prepared) -> dict[str, Any]:
    return describe_experiment(prepared.experiment)


def _agreed(
    ranks: Ranks, experiment: Experiment, records: Sequence[Mapping[str, Any]]
) -> tuple[Experiment, dict[str, Any]]:
    """Check that all processes have the same experiment; return it, and the record of the processes.

    All processes compute with the arithmetic of the first one.

    Raises:
        RemoteError: If they differ; the same one in all processes.
    """
    training = experiment.config.training
    try:
        check_same(records)
        check_batch_size(examples_per_batch(len(experiment.splits.train), training.batch_size), ranks.place.size)
    except DlcliError as error:
        raise RemoteError(full_record(error)) from error
    ranks.open_group(experiment.world, training)
    agreed = replace(experiment, arithmetic=Arithmetic(**records[0]["arithmetic"]))
    devices, hosts = ([record[name] for record in records] for name in ("device", "host"))
    backend = "nccl" if experiment.device.type == "cuda" else "gloo"
    return agreed, describe_world(experiment, devices, hosts, backend)


def _train(
    ranks: Ranks,
    experiment: Experiment,
    state: TrainingState | None,
    lead: Callable[[], TrainResult],
    listeners: Listeners,
) -> TrainResult:
    """Train with `lead` in the first process, and compute with it in the others."""
    if not ranks.place.is_first:
        try:
            _compute(experiment, state, listeners)
        except _COMMON as error:  # the first process saves the run, and then says the same
            _result_of_first(ranks, lead)
            raise RemoteError(full_record(error)) from error
        except KeyboardInterrupt:
            with suppress(DlcliError):  # the first process has ended then
                _result_of_first(ranks, lead)
            raise
    return _result_of_first(ranks, lead, common=_COMMON)


def _compute(experiment: Experiment, state: TrainingState | None, listeners: Listeners) -> None:
    """Train without writing anything; of the events, listeners get the start and the end.

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


def _result_of_first(
    ranks: Ranks, produce: Callable[[], TrainResult], common: tuple[type[DlcliError], ...] = (DlcliError,)
) -> TrainResult:
    """Return the result of `produce` in the first process, in all processes; see `Ranks.tell`."""
    result: TrainResult | None = None

    def encode() -> bytes:
        nonlocal result
        result = produce()
        return to_json(asdict(result)).encode()

    message = ranks.tell(encode, common=common)
    if result is None:
        values = json.loads(message)
        result = TrainResult(**{**values, "recovered": tuple(values["recovered"])})
    return result


def _find_begun(run_dir: Path | None) -> bytes:
    """Return the folder of the run that this launch has begun; empty if there is none."""
    launch = launch_id()
    folder = None if launch is None else find_launched(launch, run_dir)
    return b"" if folder is None else os.fsencode(folder.path)
