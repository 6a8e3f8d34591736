"""Reports of errors: text and GitHub annotations on stderr, one JSON object on stdout."""

from __future__ import annotations

import sys

from dlcli.cli.arguments import wants_annotations, wants_json
from dlcli.cli.output import has_printed_json, print_json
from dlcli.errors import DlcliError, Interrupted, visible


def report_failure(error: DlcliError) -> None:
    """Report the error that ends a command, as JSON too with `--json`."""
    print_error(error)
    print_json_error(error)


def print_error(error: DlcliError) -> None:
    """Print an error message and its hint on stderr, with `--format github` followed by annotations.

    An interruption was requested, so it is not called an error.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    label = "" if isinstance(error, Interrupted) else "error: "
    console.print(Text.assemble((label, "bold red"), visible(error.message)), soft_wrap=True)
    if error.hint:
        console.print()
        for line in error.hint.split("\n"):
            console.print(Text.assemble(("hint: ", "bold cyan"), visible(line)), soft_wrap=True)
    if wants_annotations():
        from dlcli.cli.github import annotate

        sys.stderr.write("".join(f"{line}\n" for line in annotate(error)))


def print_json_error(error: DlcliError) -> None:
    """Print an error as JSON with `--json`, unless stdout already has a result, which then contains the error."""
    if wants_json() and not has_printed_json():
        print_json({"error": error.record})
