"""The `dlcli train` command: train a model or resume a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlcli.cli.arguments import name_or_path_parser, path_parser, print_notes
from dlcli.cli.completion import complete_run
from dlcli.cli.options import (
    CONFIG,
    DeviceOption,
    FormatOption,
    JsonOption,
    OverridesArgument,
    ProgressOption,
    QuietOption,
)
from dlcli.cli.output import open_listeners, print_json, print_result
from dlcli.cli.processes import open_rank_listeners, reject_with_processes, run_in_processes
from dlcli.cli.trained import print_trained
from dlcli.cli.voice import is_one_of_several
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.api import SeedsResult, TrainResult
    from dlcli.config.load import LoadedConfig
    from dlcli.runs.folder import RunFolder
    from dlcli.runs.tensorboard import LogName
    from dlcli.training.listeners import Listeners


def train_command(
    config: Annotated[str | None, CONFIG] = None,
    overrides: OverridesArgument = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="Folder to create for this run; by default a new one under runs.",
            parser=path_parser("--run-dir"),
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Resume a run from its last checkpoint.",
            parser=name_or_path_parser("RUN"),
            autocompletion=complete_run,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Random seed; short for seed=N.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", help="Train with N seeds, from the config's seed on, as one group."),
    ] = None,
    device: DeviceOption = None,
    processes: Annotated[
        str | None,
        typer.Option(
            "--processes",
            metavar="N|auto",
            help="Number of processes of this machine that train the model together; auto: one per GPU or core.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check config, data and device and show the plan without training.")
    ] = False,
    evaluate_test: Annotated[
        bool, typer.Option("--eval", help="Evaluate the best checkpoint on the test split after training.")
    ] = False,
    log: Annotated[
        Literal["tensorboard"] | None,
        typer.Option("--log", help="Write another log, into the folder of the run: tensorboard."),
    ] = None,
    json: JsonOption = False,
    _format: FormatOption = "text",
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Train a model from a config and save the run in a new folder.

    Example: dlcli train -c digits optimizer.lr=0.2 --eval

    Example: dlcli train -c digits --seeds 10 --eval

    Example: dlcli train -c digits --processes 2

    Example: dlcli train --resume digits
    """
    settings = list(overrides or ())
    settings += [f"seed={seed}"] if seed is not None else []
    settings += [f"training.device={device}"] if device is not None else []
    if resume is not None and (dry_run or run_dir is not None):
        option = "--dry-run" if dry_run else "--run-dir"
        raise UsageError(
            f"--resume cannot be combined with {option}", hint=f"run `dlcli train --resume {as_argument(resume)}`"
        )
    logs = () if log is None else (log,)
    options = {"--seeds": seeds is not None, "--dry-run": dry_run, "a config from stdin": config == "-"}
    if is_one_of_several():
        reject_with_processes(options, is_started=True, processes=processes)
        result: TrainResult | SeedsResult
        with open_rank_listeners(progress, quiet=quiet) as listeners:
            result = _train_as_rank(config, settings, resume, run_dir, evaluate_test, logs, listeners)
        print_trained(result, json=json)
        return
    reject_with_processes(options if processes is not None else {}, is_started=False)
    folder = None if resume is None else _find_to_resume(resume, seeds)
    loaded = _load(config, folder, settings)
    if dry_run:
        _show_plan(loaded, seeds, json=json)
        return
    is_group = seeds is not None or (folder is not None and folder.is_group)
    if is_group and log is not None:
        raise UsageError("--log is for a single run, and this trains several seeds", hint=f"remove `--log {log}`")
    if processes is not None:
        reject_with_processes({"a group of seeds": is_group}, is_started=False)
        if run_in_processes(processes, loaded.config, folder.path if folder else None, run_dir):
            return

    with open_listeners(progress, quiet=quiet) as listeners:
        if seeds is not None or is_group:
            result = _train_seeds(loaded, folder, seeds, run_dir, evaluate_test, listeners)
        else:
            result = _train(loaded, folder, run_dir, evaluate_test, logs, listeners)
    print_trained(result, json=json)


def _train(
    loaded: LoadedConfig,
    folder: RunFolder | None,
    run_dir: Path | None,
    evaluate_test: bool,
    log: Sequence[LogName],
    listeners: Listeners,
) -> TrainResult:
    """Train, or resume the run in `folder`."""
    from dlcli import api

    if folder is None:
        return api.train(loaded, run_dir=run_dir, evaluate_test=evaluate_test, log=log, listeners=listeners)
    return api.resume(folder.path, loaded, evaluate_test=evaluate_test, log=log, listeners=listeners)


def _train_seeds(
    loaded: LoadedConfig,
    folder: RunFolder | None,
    seeds: int | None,
    run_dir: Path | None,
    evaluate_test: bool,
    listeners: Listeners,
) -> SeedsResult:
    """Train a group of seeds, or resume the group in `folder`."""
    from dlcli import api

    if folder is not None:
        return api.resume_seeds(folder.path, loaded, evaluate_test=evaluate_test, listeners=listeners)
    assert seeds is not None, "a new group has a number of seeds"
    return api.train_seeds(loaded, seeds=seeds, run_dir=run_dir, evaluate_test=evaluate_test, listeners=listeners)


def _train_as_rank(
    config: str | None,
    settings: Sequence[str],
    resume: str | None,
    run_dir: Path | None,
    evaluate_test: bool,
    log: Sequence[LogName],
    listeners: Listeners,
) -> TrainResult:
    """Train as one of several processes. If the config of one process is invalid, all of them raise its error."""
    from dlcli import api

    if resume is None:
        source = _require_config(config)
        return api.train(source, settings, run_dir=run_dir, evaluate_test=evaluate_test, log=log, listeners=listeners)
    from dlcli.config.load import load_config

    changes = settings if config is None else load_config(config, settings)
    return api.resume(resume, changes, evaluate_test=evaluate_test, log=log, listeners=listeners)


def _find_to_resume(run: str, seeds: int | None) -> RunFolder:
    """Return the folder of the run or group to resume.

    Raises:
        UsageError: If there is no such run or group, or it does not have this number of seeds.
    """
    from dlcli.runs.find import find_run_or_group
    from dlcli.runs.folder import GroupFolder

    folder = find_run_or_group(run)
    count = len(folder.read_seeds()) if isinstance(folder, GroupFolder) else 1
    if seeds not in (None, count):
        message = f"{folder.path} has {count} seed{'' if count == 1 else 's'}, and --seeds asks for {seeds}"
        raise UsageError(message, hint=f"run `dlcli train --resume {as_argument(run)}` without --seeds")
    return folder


def _load(config: str | None, folder: RunFolder | None, settings: Sequence[str]) -> LoadedConfig:
    """Return the given config, or the config of the run to resume if none is given."""
    from dlcli.config.load import load_config

    if folder is not None:
        return load_config(config or folder.resolved, settings)
    return load_config(_require_config(config), settings)


def _require_config(config: str | None) -> str:
    """Return the given config.

    Raises:
        UsageError: If no config is given.
    """
    if config is None:
        raise UsageError(
            "train needs a config", hint="run `dlcli train -c digits`, or `dlcli train --resume RUN` to resume a run"
        )
    return config


def _show_plan(loaded: LoadedConfig, seeds: int | None, *, json: bool) -> None:
    from dlcli import api

    print_notes(loaded.notes)
    planned = api.plan(loaded) if seeds is None else api.plan_seeds(loaded, seeds=seeds)
    if json:
        print_json({"plan": dict(planned.essentials), "epochs": planned.epochs, "notes": planned.notes})
    else:
        print_result(*(f"{heading:<9} {text}" for heading, text in planned.essentials))
