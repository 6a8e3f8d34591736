"""Options and output shared by all commands: results on stdout, errors on stderr."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.ending import remember_run
from dlcli.cli.streams import take_stdout_error
from dlcli.errors import DlcliError, visible
from dlcli.reporters.base import Progress, Reporter, choose_reporter
from dlcli.signals import StopSignals

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from dlcli.training.listeners import Listeners

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]
ProgressOption = Annotated[
    Progress, typer.Option("--progress", help="Progress display; auto means rich on a terminal and plain elsewhere.")
]


def complete_config(incomplete: str) -> list[str]:
    """Return the presets whose names start with `incomplete`."""
    from dlcli.config.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


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
        help="Folder or name of a run, or name of its config; by default the newest run.",
        parser=name_or_path_parser("RUN"),
    ),
]
CheckpointOption = Annotated[
    Literal["best", "last"], typer.Option("--checkpoint", help="Checkpoint to load: the best epoch or the last.")
]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Override settings from the config, e.g. optimizer.lr=0.5"),
]
SplitOption = Annotated[Literal["train", "val", "test"], typer.Option("--split", help="Split of the data to use.")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Device: auto, cpu, cuda, cuda:1 or mps.")
]
DataRootOption = Annotated[
    str | None,
    typer.Option("--data-root", metavar="DIR", help="Folder with the data set, if it has moved since training."),
]


def open_reporter(progress: Progress, *, quiet: bool) -> Reporter:
    """Return the reporter selected by the options."""
    return choose_reporter("none" if quiet else progress)


@contextmanager
def open_listeners(progress: Progress, *, quiet: bool) -> Iterator[Listeners]:
    """Yield listeners that show training events and stop training at a signal."""
    from dlcli.training.events import Event, FitEnded, RunStarted
    from dlcli.training.listeners import Listeners

    reporter, signals = open_reporter(progress, quiet=quiet), StopSignals()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            signals.install()
            remember_run(event.run)
        elif isinstance(event, FitEnded):
            signals.restore()
        reporter.handle(event)

    try:
        yield Listeners(listen, reporter.note, lambda: signals.received)
    finally:
        signals.restore()
        reporter.close()


def print_json(value: Any, *, kept: str | Path | None = None) -> None:
    """Print one strict JSON object on stdout; see `print_result` for `kept`."""
    from dlcli.runs.files import to_json

    print_json_text(to_json(value), kept=kept)


def print_json_text(text: str, *, kept: str | Path | None = None) -> None:
    """Print JSON text on stdout without loss in any encoding; see `print_result` for `kept`."""
    is_unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    sys.stdout.write(
        "".join(letter if _is_printable(letter, is_unicode) else _escape(letter) for letter in text) + "\n"
    )
    _end_result(kept)


def _is_printable(character: str, is_unicode: bool) -> bool:
    return character == "\n" or (character.isprintable() and (is_unicode or character.isascii()))


def _escape(character: str) -> str:
    r"""Return the JSON escape of a character, such as `\u03c3`; characters above U+FFFF take two."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def print_listing(key: str, summaries: Mapping[str, str], *, json: bool) -> None:
    """Print names with their summaries, one per line or as one JSON object under `key`."""
    if json:
        print_json({key: dict(summaries)})
        return
    width = max(len(name) for name in summaries)
    print_result(*(f"{name:<{width}}  {summary}" for name, summary in summaries.items()))


def print_result(*parts: RenderableType, kept: str | Path | None = None) -> None:
    """Print a result on stdout: text unchanged, tables drawn by Rich.

    Args:
        parts: Lines of text and tables.
        kept: Path that stores the result too, if any; a stdout that cannot be written is then only noted.
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
    """Print an error message and its hint on stderr."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), visible(error.message)), soft_wrap=True)
    if error.hint:
        console.print()
        for line in error.hint.split("\n"):
            console.print(Text.assemble(("hint: ", "bold cyan"), visible(line)), soft_wrap=True)


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, gap: int = 2) -> Table:
    """Return a table of text with `gap` spaces between columns; the first is left-aligned, the others right-aligned."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table
