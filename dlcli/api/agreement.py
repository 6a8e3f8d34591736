"""Agreement of several processes on an experiment, which must be the same in all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, TypeVar

from dlcli import __version__
from dlcli.config.load import LoadedConfig, Overrides, as_assignments
from dlcli.config.render import deciding_settings, is_deciding, render_value
from dlcli.config.schema import Config
from dlcli.data.splits import Split
from dlcli.errors import DataError, DlcliError, RemoteError, UsageError, full_record
from dlcli.experiment import Experiment
from dlcli.runs.manifest import describe_world
from dlcli.training.arithmetic import Arithmetic
from dlcli.training.batches import examples_per_batch
from dlcli.training.rank_messages import Ranks, check_batch_size, check_world
from dlcli.training.world import World

T = TypeVar("T")


def plan_world(ranks: Ranks, config: Config) -> World:
    """Return the world of the processes, before their group is opened.

    Raises:
        UsageError: If the settings do not fit the number of processes.
    """
    place = ranks.place
    check_world(config, place)
    return World(place.rank, place.size, place.local_rank, place.local_size, config.training.shards)


def agree_on_task(ranks: Ranks, task: str, changes: LoadedConfig | Overrides = ()) -> None:
    """Check that all processes were started for the same task, with the same changes of the config of a run.

    Args:
        ranks: Processes.
        task: Task in words, such as `resume a run`.
        changes: Changes of the config of a run to resume.

    Raises:
        RemoteError: In all processes, if the tasks differ.
    """
    request = {"task": task, "changes": _describe_changes(changes)}
    _, records = ranks.agree(lambda: request, lambda each: each)
    try:
        check_same_task(records)
    except UsageError as error:
        raise RemoteError(full_record(error)) from error


def check_same_task(records: Sequence[Mapping[str, Any]]) -> None:
    """Check that all processes have the same `task` and `changes`.

    Raises:
        UsageError: If they differ; the first difference is named with its host.
    """
    first = records[0]
    for rank, record in enumerate(records):
        for name, verb in (("task", "to"), ("changes", "with")):
            if record[name] != first[name]:
                values = [f"{verb} {each[name] or 'no other settings'}" for each in (record, first)]
                message = f"process {rank} on {record['host']} was started {values[0]}, and process 0 on "
                message += f"{first['host']} {values[1]}"
                raise UsageError(message, hint="start the same command on all machines")


def _describe_changes(changes: LoadedConfig | Overrides) -> str:
    """Return the changes that affect results, as settings of the command line."""
    if isinstance(changes, LoadedConfig):
        return " ".join(f"{key}={render_value(value)}" for key, value in deciding_settings(changes.config).items())
    return " ".join(text for text in as_assignments(changes) if is_deciding(text.partition("=")[0].strip()))


def agree_on_experiment(
    ranks: Ranks, prepare: Callable[[], T], experiment_of: Callable[[T], Experiment]
) -> tuple[T, Experiment, dict[str, Any]]:
    """Return the result of `prepare`, its experiment, and the record of the processes, see `describe_world`.

    All processes compute with the arithmetic of the first process.

    Raises:
        DlcliError: In all processes, if `prepare` raises an error in one of them, or their experiments differ.
    """
    prepared, records = ranks.agree(prepare, lambda each: describe_experiment(experiment_of(each)))
    experiment = experiment_of(prepared)
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
    return prepared, agreed, describe_world(experiment, devices, hosts, backend)


def describe_experiment(experiment: Experiment) -> dict[str, Any]:
    """Return the JSON values that all processes must agree on, and the device and arithmetic of this process."""
    splits = experiment.splits
    return {
        "versions": {"dlcli": __version__, "torch": version("torch")},
        "settings": {key: render_value(value) for key, value in deciding_settings(experiment.config).items()},
        "data": {name: _digest(getattr(splits, name)) for name in ("train", "val", "test")},
        "kind": experiment.device.type,
        "device": str(experiment.device),
        "arithmetic": asdict(experiment.arithmetic),
    }


def _digest(split: Split) -> str:
    """Return the SHA-256 of the examples of a split, as they are stored."""
    digest = hashlib.sha256()
    for values in (split.stored, split.targets):
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_same(records: Sequence[Mapping[str, Any]]) -> None:
    """Check that all processes have the same versions, settings, data and kind of device.

    Args:
        records: Result of `describe_experiment` of each process, with its `host`.

    Raises:
        UsageError: If versions, settings or devices differ; the first difference is named with its host.
        DataError: If the data differ.
    """
    first = records[0]
    for rank, record in enumerate(records):
        places = f"process {rank} on {record['host']} has", f"process 0 on {first['host']} has"
        for part, noun in (("versions", "version of "), ("settings", "")):
            names = [*first[part], *(name for name in record[part] if name not in first[part])]
            for name in names:
                values = [each[part].get(name) for each in (record, first)]
                if values[0] != values[1]:
                    message = f"{places[0]} {noun}{name} {values[0]}, and {places[1]} {values[1]}"
                    raise UsageError(message, hint="start the same command with the same files on all machines")
        if record["kind"] != first["kind"]:
            message = f"{places[0]} device {record['device']}, and {places[1]} {first['device']}"
            raise UsageError(message, hint="write it like `--device cpu`")
        for name, digest in first["data"].items():
            if record["data"][name] != digest:
                message = f"{places[0]} another {name} split than process 0 on {first['host']}: their SHA-256 differ"
                raise DataError(message, hint="copy the files of one machine to the others")
