"""The `dlcli plot` command: pictures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.completion import complete_picture
from dlcli.cli.options import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    DpiOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
)
from dlcli.cli.output import choose_run, print_json, print_listing, print_result
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.plots.style import Format


def plot_command(
    run: RunArgument = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Pictures to draw; by default, all that apply to the run.",
            autocompletion=complete_picture,
        ),
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", metavar="png|svg", help="File format; png,svg writes both.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the pictures; by default the run's plots folder. Pictures of several runs may share it.",
            parser=path_parser("--output"),
        ),
    ] = None,
    dpi: DpiOption = 150,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the names and titles of the pictures without drawing them.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw pictures of a run and print the names of their files.

    Example: dlcli plot digits loss confusion --format svg

    Example: dlcli plot --list
    """
    kinds = _read_formats(formats or ["png"])

    from dlcli import api

    device, run = device or "auto", choose_run(run, quiet=quiet, is_named=json)
    if list_:
        titles = api.list_pictures(run, split=split, checkpoint=checkpoint, device=device, data_root=data_root)
        print_listing("pictures", titles, json=json)
        return
    result = api.draw(
        run,
        names or (),
        formats=kinds,
        folder=folder,
        dpi=dpi,
        split=split,
        checkpoint=checkpoint,
        device=device,
        data_root=data_root,
    )
    files = [file for files in result.files.values() for file in files]
    plots_folder = Path(files[0]).parent
    if json:
        print_json(asdict(result), kept=plots_folder)
    else:
        print_result(*files, kept=plots_folder)


def _read_formats(texts: Sequence[str]) -> list[Format]:
    known: dict[str, Format] = {"png": "png", "svg": "svg"}
    words = ",".join(texts).split(",")
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UsageError(
            f"--format must be png or svg. Got {unknown[0]!r} instead", hint="write it like `--format png,svg`"
        )
    return [known[word] for word in words]
