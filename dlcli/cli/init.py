"""The `dlcli config init` command: a starting config for a data source, or for the user's own table or pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.options import OverridesArgument
from dlcli.cli.output import print_result
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError, one_line

SCHEMA_FILE = "dlcli.schema.json"


def init_command(
    overrides: OverridesArgument = None,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="NAME|FILE|FOLDER",
            help="Data source, e.g. digits (see `dlcli data list`), a CSV or Parquet file, or a folder of pictures.",
        ),
    ] = "digits",
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="Column of the file to predict.")
    ] = None,
    task: Annotated[
        Literal["classification", "regression"] | None,
        typer.Option("--task", help="Task to learn; by default the task of the data source."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write; stdout by default.",
            parser=path_parser("--output"),
        ),
    ] = None,
) -> None:
    """Write a starting config in which every setting is explained.

    For a file, the config names each column with its type, and what is left out and why.

    Example: dlcli config init --data digits -o mine.yaml

    Example: dlcli config init --data weather.csv --target weather -o weather.yaml

    Example: dlcli config init --data weather.csv --target weather data.encoding=windows-1252
    """
    if os.sep in data or Path(data).suffix or os.path.isdir(data):
        _propose(data, target, task, output, overrides or ())
        return
    if overrides:
        raise UsageError(f"{overrides[0]} is for a table", hint="change it in the config afterwards")
    if target is not None:
        hint = "write it like `dlcli config init --data FILE.csv --target COLUMN`"
        raise UsageError("--target is for tables", hint=hint)
    text = _explain_all(data, task, output)
    if output is None:
        print_result(text.rstrip())
        return
    write_new(output, text)
    print_result(f"wrote {output}; train with `dlcli train -c {as_argument(str(output))}`", kept=output)


def _explain_all(data: str, task: Literal["classification", "regression"] | None, output: Path | None) -> str:
    """Return a config with all settings of a data source, each explained in a comment."""
    from dlcli.config.render import render_explained
    from dlcli.config.schema import data_sources, explain_setting, starting_config

    sources = data_sources()
    if data not in sources:
        raise UsageError(f"unknown data source {data!r}", hint=f"choose one of {', '.join(sources)}")
    if task is not None and task not in sources[data].tasks:
        raise UsageError(f"{data} is a data source for {sources[data].tasks[0]}, not {task}", hint="omit --task")
    target = sources[data].model_fields.get("target")
    if target is not None and target.is_required():
        raise UsageError(
            f"{data} needs a file", hint=f"write it like `dlcli config init --data FILE.{data} --target COLUMN`"
        )
    explained = render_explained(starting_config(data, task or sources[data].tasks[0]), explain_setting)
    file = "FILE" if output is None else as_argument(str(output))
    header = f"# yaml-language-server: $schema={SCHEMA_FILE}\n# Train with: dlcli train -c {file}"
    return f"{header}\n# For completion and hover in an editor: dlcli config schema -o {SCHEMA_FILE}\n{explained}"


def _propose(
    file: str,
    target: str | None,
    task: Literal["classification", "regression"] | None,
    output: Path | None,
    settings: Sequence[str],
) -> None:
    from dlcli.data.propose import propose_config

    folder = Path() if output is None else output.parent
    proposal = propose_config(file, target, task, folder, _ask_for_target if _is_terminal() else None, settings)
    if output is None:
        print_result(proposal.text.rstrip())
        return
    write_new(output, proposal.text)
    print_result(
        proposal.reason, f"wrote {output}; train with `dlcli train -c {as_argument(str(output))} --eval`", kept=output
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask_for_target(columns: Sequence[str], usual: str | None) -> str:
    """Ask for the column to predict, on stderr, because the config may go to stdout; no answer means `usual`."""
    listing = "".join(f"  {one_line(column)}\n" for column in columns[:50])
    default = f" [{one_line(usual)}]" if usual else ""
    sys.stderr.write(f"Columns:\n{listing}Which column is to be predicted?{default} ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or usual or ""


def write_new(path: Path, text: str) -> None:
    """Write a new file.

    Raises:
        UsageError: If the file exists or cannot be written.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot write {path}: {reason}", hint="choose a file that does not exist yet") from error
