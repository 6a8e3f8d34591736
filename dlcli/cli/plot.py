"""dlcli plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_of
from dlcli.cli.output import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    RunArgument,
    SplitOption,
    print_json,
    print_listing,
    print_result,
)
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from dlcli.plots.style import Format


def plot_command(
    run: RunArgument = None,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which pictures; all that make sense if left out.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", metavar="png|svg", help="Kind of files; png,svg for both.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where to, instead of the run's plots.",
            parser=path_of("--output"),
        ),
    ] = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    list_: Annotated[bool, typer.Option("--list", help="Draw nothing; show the names and titles.")] = False,
    json: JsonOption = False,
) -> None:
    """Draw pictures of a run, and print their files.

    Example: dlcli plot digits loss confusion --format svg
    """
    kinds = _read_formats(formats or ["png"])

    from dlcli import api

    device = device or "auto"
    if list_:
        titles = api.list_pictures(run, split=split, checkpoint=checkpoint, device=device, data_root=data_root)
        print_listing("pictures", titles, json=json)
        return
    result = api.draw(
        run,
        names or (),
        formats=kinds,
        folder=folder,
        split=split,
        checkpoint=checkpoint,
        device=device,
        data_root=data_root,
    )
    files = [file for files in result.files.values() for file in files]
    where = Path(files[0]).parent
    if json:
        print_json(asdict(result), kept=where)
    else:
        print_result(*files, kept=where)


def _read_formats(texts: Sequence[str]) -> list[Format]:
    known: dict[str, Format] = {"png": "png", "svg": "svg"}
    words = ",".join(texts).split(",")
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UsageError(f"--format {unknown[0]!r} is neither png nor svg", hint="--format png,svg")
    return [known[word] for word in words]
