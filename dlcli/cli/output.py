"""Output shared by all commands: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dlcli.cli.ending import remember_run
from dlcli.cli.streams import take_stdout_error
from dlcli.cli.tables import measure_width, narrow
from dlcli.errors import DlcliError, visible
from dlcli.reporters.base import Progress, Reporter, choose_reporter
from dlcli.signals import StopSignals
from dlcli.text import columns_of, fold, page_width, wrap

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.training.listeners import Listeners

_printed_json: list[bool] = []  # not empty once stdout has JSON


def choose_run(run: str | None, *, quiet: bool = False, is_named: bool = True) -> str:
    """Return the run to use; without a name, the newest run whose training has ended.

    A note on stderr names the run if a newer run has not ended.

    Args:
        run: Name or folder given by the user.
        quiet: Whether to leave out the note.
        is_named: Whether the result of the command names the run; otherwise the note is always printed.

    Raises:
        UsageError: If there are no runs.
    """
    if run is not None:
        return run
    from dlcli.runs.find import find_run, list_runs

    found, newest = find_run(None), list_runs()[-1]
    skipped = f"; {newest.path} is {newest.status}" if found != newest else ""
    if (skipped or not is_named) and not quiet:
        note = visible(f"note: using {found.path}, the newest run that has ended{skipped}")
        sys.stderr.write(fold(note, sys.stderr) + "\n")
    return str(found.path)


def open_reporter(progress: Progress, *, quiet: bool) -> Reporter:
    """Return the reporter selected by the options."""
    return choose_reporter("none" if quiet else progress)


@contextmanager
def open_listeners(progress: Progress, *, quiet: bool, signals: StopSignals | None = None) -> Iterator[Listeners]:
    """Yield listeners that show training events and stop training at a signal."""
    from dlcli.training.events import Event, FitEnded, GroupEnded, GroupStarted, RunStarted, SweepStarted
    from dlcli.training.listeners import Listeners

    reporter, signals = open_reporter(progress, quiet=quiet), signals or StopSignals()
    in_sweep = False  # the end of a group in a sweep must not restore the signal handlers

    def listen(event: Event) -> None:
        nonlocal in_sweep
        if isinstance(event, RunStarted | GroupStarted | SweepStarted) and not in_sweep:
            signals.install()
            remember_run(event.run)
            in_sweep = isinstance(event, SweepStarted)
        elif isinstance(event, FitEnded | GroupEnded) and not in_sweep:
            signals.restore()
        reporter.handle(event)

    try:
        yield Listeners(listen, reporter.note, lambda: signals.received)
    finally:
        signals.restore()
        reporter.close()


def print_json(value: Mapping[str, Any], *, kept: str | Path | None = None, failure: DlcliError | None = None) -> None:
    """Print one strict JSON object on stdout.

    Args:
        value: Object to print.
        kept: Path where the result is also stored; see `print_result`.
        failure: Error that the command will raise, added under `error`.
    """
    from dlcli.runs.files import to_json

    print_json_text(to_json({**value, **({"error": failure.record} if failure else {})}), kept=kept)


def print_json_text(text: str, *, kept: str | Path | None = None) -> None:
    """Print JSON text on stdout without loss in any encoding; see `print_result` for `kept`."""
    note_printed_json()
    sys.stdout.write(_printable_json(text) + "\n")
    _end_result(kept)


def print_json_file(file: IO[bytes]) -> None:
    """Print JSON from a file in UTF-8 as `print_json_text` does, in bounded memory."""
    note_printed_json()
    for block in codecs.iterdecode(iter(lambda: file.read(1 << 20), b""), "utf-8"):
        sys.stdout.write(_printable_json(block))
    sys.stdout.write("\n")
    _end_result(None)


def _printable_json(text: str) -> str:
    is_unicode = codecs.lookup(sys.stdout.encoding).name == "utf-8"
    if is_unicode and text.isascii() and text.isprintable():
        return text
    return "".join(letter if _is_printable(letter, is_unicode) else _escape(letter) for letter in text)


def note_printed_json() -> None:
    """Record that this command, or a process that it has started, prints JSON on stdout."""
    _printed_json.append(True)


def has_printed_json() -> bool:
    """Return whether this command has printed JSON on stdout."""
    return bool(_printed_json)


def forget_printed_json() -> None:
    """Forget the JSON printed by an earlier command of this process."""
    _printed_json.clear()


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
    """Print a result on stdout: lines of text, and tables drawn by Rich.

    On a narrow terminal, a line is broken between words, and a table loses columns from its right side. In a pipe, the
    width is not limited.

    Args:
        parts: Lines of text, texts of several lines, which are printed unchanged, and tables.
        kept: Path where the result is also stored, if any; a failure to write to stdout then only causes a note.
    """
    for part in parts:
        if isinstance(part, str):
            sys.stdout.write(fold(visible(part), sys.stdout) + "\n")
        else:
            _print_table(part)
    _end_result(kept)


def _print_table(table: RenderableType) -> None:
    from rich.console import Console
    from rich.table import Table

    console, columns = Console(highlight=False, soft_wrap=False), columns_of(sys.stdout)
    if isinstance(table, Table):
        if columns is not None:
            table = narrow(table, columns)
        console.width = max(columns or 0, measure_width(table))
    console.print(table)


def _end_result(kept: str | Path | None) -> None:
    sys.stdout.flush()
    if kept is not None and (reason := take_stdout_error()):
        sys.stderr.write(f"note: cannot write to stdout: {reason}; the result is in {visible(str(kept))}\n")


def format_metrics(metrics: Mapping[str, Any], class_counts: Sequence[int]) -> str:
    """Return the scalar metrics on one line; see `scalars`."""
    return ", ".join(f"{name} {value:.4f}" for name, value in scalars(metrics, class_counts).items())


def scalars(metrics: Mapping[str, Any], class_counts: Sequence[int]) -> dict[str, float]:
    """Return the scalar metrics to show, without the macro averages if the classes are balanced.

    Args:
        metrics: Metrics on a split.
        class_counts: Number of examples of each class; empty for regression.
    """
    from dlcli.runs.comparison import is_f1_redundant

    is_hidden = is_f1_redundant(class_counts)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return {name: value for name, value in numbers.items() if not (is_hidden and name.startswith("macro_"))}


def paragraph(text: str, *, start: str = "", indent: str | None = None) -> str:
    """Return running text for stdout, in lines of at most 80 columns; see `wrap`."""
    return wrap(text, page_width(sys.stdout), start=start, indent=indent)
