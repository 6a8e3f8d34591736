"""Reports of errors: text and GitHub annotations on stderr, one JSON object on stdout."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from dlcli.cli.arguments import wants_annotations, wants_json
from dlcli.cli.output import has_printed_json, print_json
from dlcli.cli.voice import is_told_elsewhere, prints_result
from dlcli.errors import DlcliError, Interrupted, visible
from dlcli.text import fold

if TYPE_CHECKING:
    from rich.console import Console


def report_failure(error: DlcliError) -> None:
    """Report the error that ends a command, also as JSON with `--json`; several processes do so once per machine."""
    if not is_told_elsewhere(error):
        print_error(error)
        print_json_error(error)


def print_error(error: DlcliError) -> None:
    """Print an error message and its hint on stderr, followed by annotations with `--format github`.

    An interruption has no label `error:`, because the user requested it.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    label = "" if error.kind == Interrupted.kind else "error: "
    _print(console, label, "bold red", error.message)
    if error.hint:
        console.print()
        for line in error.hint.split("\n"):
            _print(console, "hint: ", "bold cyan", line)
    if wants_annotations():
        from dlcli.cli.github import annotate

        sys.stderr.write("".join(f"{line}\n" for line in annotate(error)))


def _print(console: Console, label: str, style: str, message: str) -> None:
    from rich.text import Text

    first, *others = visible(message).split("\n")
    text = Text("\n".join(fold(line, sys.stderr) for line in (label + first, *others)))
    text.stylize(style, 0, len(label.rstrip()))
    console.print(text, soft_wrap=True)


def print_json_error(error: DlcliError) -> None:
    """Print an error as JSON with `--json`, unless stdout already has a result, which then contains the error."""
    if _needs_json():
        print_json({"error": error.record})


def interruption_json(signum: int) -> str:
    """Return the JSON to print when a signal ends the command while nothing needs saving; empty without `--json`.

    This function imports nothing, because the signal may arrive during an import.
    """
    return json.dumps({"error": Interrupted("interrupted", signum=signum).record}) + "\n" if _needs_json() else ""


def _needs_json() -> bool:
    """Return whether stdout still needs its JSON object."""
    return wants_json() and not has_printed_json() and prints_result()
