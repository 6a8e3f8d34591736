"""The `dlcli export` command: a model as ONNX, torch or safetensors files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.options import CheckpointOption, JsonOption, QuietOption, RunArgument
from dlcli.cli.output import choose_run, open_reporter, print_json, print_result
from dlcli.errors import one_line

if TYPE_CHECKING:
    from dlcli.api import ExportResult


def export_command(
    run: RunArgument = None,
    format_: Annotated[
        Literal["onnx", "torch", "safetensors"],
        typer.Option("--format", help="Format of the model; safetensors comes with a NumPy program."),
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder to write; by default export/FORMAT in the run's folder.",
            parser=path_parser("--output"),
        ),
    ] = None,
    checkpoint: CheckpointOption = "best",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a model with its preprocessing as files that need no dlcli, and check them. Exits with 6 if they differ.

    Example: dlcli export digits --format onnx -o model

    Example: dlcli export --format safetensors
    """
    from dlcli import api

    result = api.export(
        choose_run(run, quiet=quiet),
        format_,
        output,
        checkpoint=checkpoint,
        notify=open_reporter("plain", quiet=quiet).note,
    )
    if json:
        print_json(asdict(result), kept=result.folder)
    else:
        print_result(*_lines(result), kept=result.folder)


def _lines(result: ExportResult) -> list[str]:
    files = ", ".join(f"{name} ({size:,} bytes)" for name, size in result.files.items())
    missing = "" if result.rows["data"] else ", which is missing or has changed,"
    data = f"{result.rows['data']:,} rows of the data"
    return [
        f"run       {one_line(result.run)}, {result.checkpoint} checkpoint (epoch {result.epoch})",
        f"written   {one_line(result.folder)}: {files}",
        f"checked   without dlcli on {data}{missing} and {result.rows['generated']:,} generated rows",
        f"          largest difference from dlcli: {result.largest_difference:.1e}",
    ]
