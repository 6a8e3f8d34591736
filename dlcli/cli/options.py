"""Options and arguments shared by several commands."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.completion import complete_config, complete_first_override, complete_run
from dlcli.reporters.base import Progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
FormatOption = Annotated[
    Literal["text", "github"],
    typer.Option("--format", help="github adds annotations of errors for GitHub Actions."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
ProgressOption = Annotated[
    Progress, typer.Option("--progress", help="Progress display; auto means rich on a terminal and plain elsewhere.")
]
CONFIG = typer.Option(
    "--config",
    "-c",
    metavar="CONFIG",
    help="YAML file, preset name, or - for stdin.",
    autocompletion=complete_config,
)
ConfigOption = Annotated[str, CONFIG]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="Folder or name of a run, or name of its config; by default the newest finished run.",
        parser=name_or_path_parser("RUN"),
        autocompletion=complete_run,
    ),
]
CheckpointOption = Annotated[
    Literal["best", "last"], typer.Option("--checkpoint", help="Checkpoint to load: the best epoch or the last.")
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Override settings from the config, e.g. optimizer.lr=0.5",
        autocompletion=complete_first_override,
    ),
]
SplitOption = Annotated[Literal["train", "val", "test"], typer.Option("--split", help="Split of the data to use.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Device: auto, cpu, cuda, cuda:1 or mps.")
]
DataRootOption = Annotated[
    str | None,
    typer.Option("--data-root", metavar="DIR", help="Folder with the data set, if it has moved since training."),
]
DpiOption = Annotated[
    int, typer.Option("--dpi", min=72, max=600, metavar="N", help="Resolution of PNG files, in dots per inch.")
]
