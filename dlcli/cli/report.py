"""The `dlcli report` command: one HTML page about a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.options import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
)
from dlcli.cli.output import choose_run, open_reporter, print_json, print_result


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

    Example: dlcli report digits -o digits.html

    Example: dlcli report digits --split val
    """
    from dlcli import api

    result = api.report(
        choose_run(run, quiet=quiet),
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
