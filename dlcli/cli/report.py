"""The `dlcli report` command: one HTML page about a run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.group import choose_run_or_group
from dlcli.cli.options import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
)
from dlcli.cli.output import open_reporter, print_json, print_result
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.api import ReportResult
    from dlcli.runs.folder import GroupFolder, RunFolder


def report_command(
    run: RunArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="HTML file to write; by default report.html in the run's folder.",
            parser=path_parser("--output"),
        ),
    ] = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a self-contained HTML page about a run: metrics, pictures, diagnosis and how to reproduce it.

    The page about a group of seeds has their statistics, every value and the curves.

    Example: dlcli report digits -o digits.html

    Example: dlcli report digits --split val
    """
    folder = _choose(run, quiet=quiet)

    from dlcli import api
    from dlcli.runs.folder import GroupFolder

    if isinstance(folder, GroupFolder):
        options = {
            "--split": split != "test",
            "--checkpoint": checkpoint != "best",
            "--device": device,
            "--data-root": data_root,
        }
        if given := [option for option, value in options.items() if value]:
            hint = f"name one of its seeds, such as {as_argument(str(folder.path / str(folder.read_seeds()[0])))}"
            raise UsageError(f"{given[0]} is for a single run, and this is a group of seeds", hint=hint)
        _print(api.report_seeds(folder.path, output), json=json)
        return
    result = api.report(
        folder.path,
        output,
        split=split,
        checkpoint=checkpoint,
        device=device or "auto",
        data_root=data_root,
        notify=open_reporter("plain", quiet=quiet).note,
    )
    _print(result, json=json)


def _choose(run: str | None, *, quiet: bool) -> RunFolder | GroupFolder:
    """Return the folder of a run or group.

    Raises:
        UsageError: If there is no such run or group; for a sweep, the hint is the command for its page.
    """
    try:
        return choose_run_or_group(run, quiet=quiet)
    except UsageError as error:
        if run is None or (hint := _find_sweep_hint(run)) is None:
            raise
        raise UsageError(error.message, hint=hint) from error


def _find_sweep_hint(name: str) -> str | None:
    """Return the command for the page of a sweep; None if there is no such sweep."""
    from dlcli.sweeps.folder import find_sweep

    with suppress(UsageError):
        folder = as_argument(str(find_sweep(name).path))
        return f"write the page of this sweep with `dlcli sweep show {folder} --html FILE`"
    return None


def _print(result: ReportResult, *, json: bool) -> None:
    if json:
        print_json(asdict(result), kept=result.file)
    else:
        print_result(result.file, kept=result.file)
