"""What every command shares: its options for output, results on stdout, errors on stderr."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.arguments import name_or_path_of
from dlcli.cli.ending import remember_run
from dlcli.cli.streams import take_stdout_error
from dlcli.errors import DlcliError, Problem, visible
from dlcli.reporters.base import Progress, Reporter, choose_reporter
from dlcli.signals import StopSignals

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from dlcli.training.listeners import Listeners

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result and errors.")]
ProgressOption = Annotated[
    Progress, typer.Option("--progress", help="How to show progress; auto is rich on a terminal, else plain.")
]


def complete_config(incomplete: str) -> list[str]:
    """Return the presets whose names begin so."""
    from dlcli.config.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


ConfigOption = Annotated[
    str,
    typer.Option(
        "--config", "-c", metavar="CONFIG", help="A YAML file, or a preset's name.", autocompletion=complete_config
    ),
]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run's folder or name; the newest if left out.",
        parser=name_or_path_of("RUN"),
    ),
]
CheckpointOption = Annotated[Literal["best", "last"], typer.Option("--checkpoint", help="Which parameters.")]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings that go before the config's: optimizer.lr=0.5"),
]
SplitOption = Annotated[Literal["train", "val", "test"], typer.Option("--split", help="Which examples.")]
DeviceOption = Annotated[str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps.")]
DataRootOption = Annotated[
    str | None, typer.Option("--data-root", metavar="DIR", help="Where the data lies now, if not where it lay.")
]


def open_reporter(progress: Progress, *, quiet: bool) -> Reporter:
    """Return the reporter that the options ask for."""
    return choose_reporter("none" if quiet else progress)


@contextmanager
def open_listeners(progress: Progress, *, quiet: bool) -> Iterator[Listeners]:
    """Show what happens while a model trains, and stop it at a signal."""
    from dlcli.training.events import Event, FitEnded, RunStarted
    from dlcli.training.listeners import Listeners

    reporter, signals = open_reporter(progress, quiet=quiet), StopSignals()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            signals.take()
            remember_run(event.run)
        elif isinstance(event, FitEnded):
            signals.give_back()
        reporter.handle(event)

    try:
        yield Listeners(listen, reporter.note, lambda: signals.received)
    finally:
        signals.give_back()
        reporter.close()


def print_json(value: Any, *, kept: str | Path | None = None) -> None:
    """Print one strict JSON object on stdout; `kept` as for `print_result`."""
    from dlcli.runs.files import to_json

    print_json_text(to_json(value), kept=kept)


def print_json_text(text: str, *, kept: str | Path | None = None) -> None:
    """Print JSON that is written out already, without loss in any encoding; `kept` as for `print_result`."""
    is_unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    sys.stdout.write("".join(one if _is_plain(one, is_unicode) else _escape(one) for one in text) + "\n")
    _end_result(kept)


def _is_plain(character: str, is_unicode: bool) -> bool:
    return character == "\n" or (character.isprintable() and (is_unicode or character.isascii()))


def _escape(character: str) -> str:
    r"""Return a character as JSON escapes it, such as `\u03c3`; where a letter may stand, this may too."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def print_listing(what: str, summaries: Mapping[str, str], *, json: bool) -> None:
    """Print names with a line each, or as one JSON object under the key `what`."""
    if json:
        print_json({what: dict(summaries)})
        return
    width = max(len(name) for name in summaries)
    print_result(*(f"{name:<{width}}  {summary}" for name, summary in summaries.items()))


def print_result(*parts: RenderableType, kept: str | Path | None = None) -> None:
    """Print a result on stdout: text as it is, tables as Rich draws them.

    Args:
        parts: What to print, a line or more each.
        kept: Where the result lies too, if it does. Then it is no error when stdout cannot be written.
    """
    for part in parts:
        if isinstance(part, str):
            sys.stdout.write(visible(part) + "\n")
        else:
            from rich.console import Console

            Console(highlight=False, soft_wrap=False).print(part)
    _end_result(kept)


def _end_result(kept: str | Path | None) -> None:
    sys.stdout.flush()
    if kept is not None and (reason := take_stdout_error()):
        sys.stderr.write(f"note: cannot write to stdout: {reason}; the result is in {visible(str(kept))}\n")


def print_error(error: DlcliError) -> None:
    """Print what went wrong, and what to do about it, on stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), visible(error.message)), soft_wrap=True)
    if error.hint:
        console.print()
        for line in error.hint.split("\n"):
            console.print(Text.assemble(("hint: ", "bold cyan"), visible(line)), soft_wrap=True)


def print_warnings(warnings: Sequence[Problem]) -> None:
    """Print on stderr what works today and will not for ever."""
    if not warnings:
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    for warning in warnings:
        text = f"{warning.place}: {warning.message}; {warning.hint}"
        console.print(Text.assemble(("warning: ", "bold yellow"), visible(text)), soft_wrap=True)


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, gap: int = 2) -> Table:
    """Return a table of text, `gap` blanks between columns; the first column stands left, the others right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
