"""The `dlcli study` command: controlled experiments with paired seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.output import (
    JsonOption,
    ProgressOption,
    QuietOption,
    make_table,
    print_json,
    print_listing,
    print_result,
)

if TYPE_CHECKING:
    from rich.table import Table

    from dlcli.api import StudyOutcome
    from dlcli.lecture.studies.results import StudyResults, VariantResults
    from dlcli.lecture.studies.train import StudyListeners
    from dlcli.reporters.base import Progress


def _complete_study(incomplete: str) -> list[str]:
    from dlcli.lecture.studies.catalogue import STUDIES

    return [name for name in STUDIES if name.startswith(incomplete)]


def study_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Study to run; without a name, the studies are listed.", autocompletion=_complete_study
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Override settings for all variants, e.g. training.epochs=10"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="NAME", help="Data source; most studies run on digits or fashion_mnist."),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            min=2,
            metavar="N",
            help="Number of seeds to train each variant with; they follow the config's seed.",
        ),
    ] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for the results; by default studies/NAME.",
            parser=path_parser("--output"),
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the studies.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Run a controlled experiment: vary one setting, keep the others fixed and measure the effect.

    Example: dlcli study mse-vs-cross-entropy
    """
    from dlcli.lecture.studies.catalogue import STUDIES, find_study

    if list_all or name is None:
        print_listing("studies", {study.name: study.question for study in STUDIES.values()}, json=json)
        return
    find_study(name)  # reject a wrong name before torch is imported

    from dlcli import api

    with _open_listeners(progress, quiet=quiet) as listeners:
        outcome = api.study(name, overrides or (), data=data, seeds=seeds, folder=output, listeners=listeners)
    if json:
        print_json({**outcome.record, "folder": outcome.folder, "files": outcome.files}, kept=outcome.folder)
    else:
        print_result(*_summary(outcome), kept=outcome.folder)


@contextmanager
def _open_listeners(progress: Progress, *, quiet: bool) -> Iterator[StudyListeners]:
    """Yield listeners that show the progress of a study and stop it cleanly at a signal."""
    from dlcli.lecture.studies.train import StudyListeners
    from dlcli.reporters.series import choose_series_reporter
    from dlcli.signals import StopSignals

    reporter, signals = choose_series_reporter("none" if quiet else progress), StopSignals()
    signals.install()
    try:
        yield StudyListeners(reporter.advance, reporter.tell, reporter.tell, lambda: signals.received)
    finally:
        signals.restore()
        reporter.close()


def _summary(outcome: StudyOutcome) -> list[str | Table]:
    study = outcome.results.study
    return [
        _wrap(f"study     {study.name}: {study.question}", indent=10),
        _wrap(f"lecture   {study.lecture}", indent=10),
        "",
        _table(outcome.results),
        "",
        _wrap(outcome.record["paragraph"]),
        "",
        _wrap(outcome.record["method"]),
        "",
        f"files     {outcome.folder}: {', '.join(outcome.files)}",
    ]


def _wrap(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, 80, subsequent_indent=" " * indent, break_on_hyphens=False)


def _table(results: StudyResults) -> Table:
    from dlcli.lecture.studies.sentences import name_metric

    test, epochs = f"test {name_metric(results)}", f"epochs to {results.level:g}"
    headings = ["variant", "lr", test, "difference", "same sign", epochs]
    return make_table(headings, [_row(results, variant) for variant in results.variants])


def _row(results: StudyResults, variant: VariantResults) -> list[str]:
    from dlcli.lecture.studies.sentences import format_difference, format_spread

    comparison = results.compare_test(variant)
    difference = None if variant is results.reference else comparison.difference
    return [
        variant.label,
        "" if variant.lr is None else f"{variant.lr:g}",
        format_spread(variant.test) if variant.test else "diverged",
        "" if difference is None else format_difference(difference, sign=True),
        "" if difference is None else f"{comparison.same_sign} of {difference.n}",
        _epochs(results, variant),
    ]


def _epochs(results: StudyResults, variant: VariantResults) -> str:
    """Return the epochs a variant needed to reach the level, with the number of seeds if some did not reach it."""
    epochs = variant.epochs
    if variant.lr is None or variant.diverged == len(results.seeds):
        return ""
    if epochs is None:
        return f"> {results.epochs}"
    if epochs.n < len(results.seeds):
        return f"{epochs.mean:.1f} in {epochs.n} of {len(results.seeds)}"
    return f"{epochs.mean:.1f} ± {epochs.sd:.1f}"
