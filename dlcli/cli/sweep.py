"""The `dlcli sweep` command: search for good settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.options import CONFIG, JsonOption, OverridesArgument, ProgressOption, QuietOption
from dlcli.cli.output import open_listeners, print_json, print_result
from dlcli.cli.sweep_page import sweep_page
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.sweeps.records import SweepResult

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Database for machines that share no folder, such as postgresql://USER@HOST/NAME.",
    ),
]


def sweep_command(
    config: Annotated[str | None, CONFIG] = None,
    overrides: OverridesArgument = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="KEY=VALUES",
            help="Values to try for a setting: a list, or a range such as {min: 1e-3, max: 1, log: true}.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="Number of processes that run trials.")
    ] = 1,
    storage: StorageOption = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="SWEEP",
            help="Continue a sweep; its time begins again, and sweep.trials may be higher.",
            parser=name_or_path_parser("SWEEP"),
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new sweep, also if the last one has not ended.")] = False,
    evaluate_test: Annotated[
        bool, typer.Option("--eval", help="Evaluate the models of the confirmation on the test split at the end.")
    ] = False,
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="With `show`, also write an HTML page about the sweep so far.",
            parser=name_or_path_parser("--html"),
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Search for good settings of a config, on as many machines as take part.

    The same command again, here or on a machine with the same folder, takes part in the search.

    Example: dlcli sweep -c tune.yaml --workers 2

    Example: dlcli sweep -c digits --space 'optimizer.lr={min: 1e-3, max: 1, log: true}' sweep.trials=20

    Example: dlcli sweep --resume tune sweep.trials=100

    Example: dlcli sweep show tune --html tune.html
    """
    settings = list(overrides or ())
    if config == "show":
        _show(settings, storage, html, json=json)
        return
    if html is not None:
        raise UsageError("--html is for `sweep show`", hint="remove it: a sweep writes report.html into its folder")
    from dlcli import api

    with open_listeners(progress, quiet=quiet) as listeners:
        if resume is not None:
            _reject_with_resume(config, space, new=new)
            result = api.resume_sweep(
                resume, settings, workers=workers, storage=storage, evaluate_test=evaluate_test, listeners=listeners
            )
        elif config is None:
            raise UsageError("sweep needs a config", hint="run `dlcli sweep -c FILE`, or `dlcli sweep show SWEEP`")
        else:
            result = api.sweep(
                config,
                settings,
                space=space or (),
                workers=workers,
                storage=storage,
                new=new,
                evaluate_test=evaluate_test,
                listeners=listeners,
            )
    _print(result, {}, json=json)


def _reject_with_resume(config: str | None, space: Sequence[str] | None, *, new: bool) -> None:
    given = {"--config": config is not None, "--space": bool(space), "--new": new}
    for option, is_given in given.items():
        if is_given:
            hint = "leave it out: a sweep keeps its config and its space"
            raise UsageError(f"--resume cannot be combined with {option}", hint=hint)


def _show(names: Sequence[str], storage: str | None, html: str | None, *, json: bool) -> None:
    from dlcli import api

    if len(names) != 1:
        raise UsageError(
            "sweep show needs the folder or name of one sweep", hint="write it like `dlcli sweep show tune`"
        )
    result = api.show_sweep(names[0], storage=storage)
    files = {} if html is None else {"file": api.report_sweep(names[0], html, storage=storage).file}
    _print(result, files, json=json)


def _print(result: SweepResult, files: Mapping[str, str], *, json: bool) -> None:
    if json:
        print_json({**asdict(result), **files}, kept=result.sweep)
    else:
        print_result(*sweep_page(result), *(f"wrote     {file}" for file in files.values()), kept=result.sweep)


def worker_command(folder: str, _json: JsonOption = False) -> None:
    """Run trials of a sweep, started by `dlcli sweep --workers`."""
    from pathlib import Path

    from dlcli.api.sweeping.processes import STORAGE, stop_with_parent
    from dlcli.api.sweeping.run import run_worker
    from dlcli.signals import StopSignals
    from dlcli.sweeps.folder import SweepFolder

    signals = StopSignals()
    signals.install()
    run_worker(SweepFolder(Path(folder)), os.environ.get(STORAGE), stop_with_parent(lambda: signals.received))
