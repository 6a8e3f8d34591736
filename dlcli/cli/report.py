"""dlcli report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.arguments import path_of
from dlcli.cli.output import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
    open_reporter,
    print_json,
    print_result,
)


def report_command(
    run: RunArgument = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The page; report.html in the run's folder.",
            parser=path_of("--output"),
        ),
    ] = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one HTML page about a run that needs nothing else: figures, pictures, what to improve, how to repeat it.

    Example: dlcli report digits -o digits.html
    """
    from dlcli import api

    result = api.report(
        run,
        output,
        split=split,
        checkpoint=checkpoint,
        device=device or "auto",
        data_root=data_root,
        notify=open_reporter("plain", quiet=quiet).note,
    )
    if json:
        print_json(asdict(result), kept=result.file)
    else:
        print_result(result.file, kept=result.file)
