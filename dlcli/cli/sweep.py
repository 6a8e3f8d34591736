"""The `dlcli sweep` command: search for good settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.options import CONFIG, JsonOption, OverridesArgument, ProgressOption, QuietOption
from dlcli.cli.output import make_table, open_listeners, paragraph, print_json, print_result
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError, one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

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
            help="Go on with a sweep; its time begins again, and sweep.trials may be higher.",
            parser=name_or_path_parser("SWEEP"),
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new sweep, also if the last one has not ended.")] = False,
    evaluate_test: Annotated[
        bool, typer.Option("--eval", help="Evaluate the models of the confirmation on the test split at the end.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Search for good settings of a config, on as many machines as take part.

    The same command again, here or on a machine with the same folder, takes part in the search.

    Example: dlcli sweep -c tune.yaml --workers 2

    Example: dlcli sweep -c digits --space 'optimizer.lr={min: 1e-3, max: 1, log: true}' sweep.trials=20

    Example: dlcli sweep --resume tune sweep.trials=100

    Example: dlcli sweep show tune --json
    """
    settings = list(overrides or ())
    if config == "show":
        _show(settings, storage, json=json)
        return
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
    _print(result, json=json)


def _reject_with_resume(config: str | None, space: Sequence[str] | None, *, new: bool) -> None:
    given = {"--config": config is not None, "--space": bool(space), "--new": new}
    for option, is_given in given.items():
        if is_given:
            hint = "leave it out: a sweep that goes on has its config and its space"
            raise UsageError(f"--resume cannot be combined with {option}", hint=hint)


def _show(names: Sequence[str], storage: str | None, *, json: bool) -> None:
    from dlcli import api

    if len(names) != 1:
        raise UsageError(
            "sweep show needs the folder or name of one sweep", hint="write it like `dlcli sweep show tune`"
        )
    _print(api.show_sweep(names[0], storage=storage), json=json)


def _print(result: SweepResult, *, json: bool) -> None:
    if json:
        print_json(asdict(result), kept=result.sweep)
    else:
        print_result(*_page(result), kept=result.sweep)


def _page(result: SweepResult) -> Iterator[RenderableType]:
    """Yield the parts of the text about a sweep."""
    from dlcli.runs.comparison import format_metric
    from dlcli.sweeps.describe import describe_settings

    yield f"sweep     {one_line(result.sweep)}"
    counts = ", ".join(f"{count} {state}" for state, count in result.trials.items() if count)
    yield f"status    {result.status}: {counts}"
    epochs = result.epochs
    yield f"epochs    {epochs['trained']:,} trained, {epochs['saved']:,} saved by pruning"
    if result.best is None:
        yield "no trial has finished"
        return
    best = result.best
    yield f"best      trial {best.number}: {describe_settings(best.settings)}"
    value = format_metric(best.value or 0.0)
    yield f"value     {result.metric} {value}, too good to be true: it was chosen for this value"
    if result.importances:
        yield ""
        rows = [[name, f"{100 * share:.0f} %"] for name, share in result.importances.items()]
        yield make_table(["parameter", "share of the variation"], rows)
    yield ""
    if result.confirmation is not None:
        yield paragraph(result.confirmation.statement)
    if not result.is_reproducible:
        yield paragraph("Not reproducible in parallel: the trials depend on how fast each worker was.")
    path = as_argument(result.sweep)
    if result.status == "finished":
        yield f"next      dlcli train -c {as_argument(os.path.join(result.sweep, 'best.yaml'))}"
    else:
        yield f"next      dlcli sweep --resume {path}"


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
