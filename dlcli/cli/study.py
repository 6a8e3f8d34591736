"""The `dlcli study` command: controlled experiments with paired seeds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import path_parser
from dlcli.cli.completion import complete_study, complete_vary
from dlcli.cli.options import CONFIG, DpiOption, JsonOption, ProgressOption, QuietOption
from dlcli.cli.output import paragraph, print_json, print_listing, print_result
from dlcli.cli.tables import make_table

if TYPE_CHECKING:
    from rich.table import Table

    from dlcli.api import StudyOutcome
    from dlcli.lecture.studies.results import StudyResults, VariantResults
    from dlcli.lecture.studies.trainer import StudyListeners
    from dlcli.reporters.base import Progress


def study_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Study to run; without a name and --vary, the studies are listed.",
            autocompletion=complete_study,
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Override settings for all variants, e.g. training.epochs=10",
            autocompletion=complete_vary,
        ),
    ] = None,
    config: Annotated[str | None, CONFIG] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=V1,V2,...",
            help="Setting to vary, with its values; use it twice for a grid of two settings.",
            autocompletion=complete_vary,
        ),
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
    dpi: DpiOption = 150,
    list_all: Annotated[bool, typer.Option("--list", help="List the studies.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Run a controlled experiment: vary one setting, keep the others fixed and measure the effect.

    Example: dlcli study --vary model.activation=sigmoid,relu,tanh -c digits --seeds 3

    Example: dlcli study learning-rate -c digits --seeds 3
    """
    from dlcli.lecture.studies.catalogue import STUDIES, find_study

    if name is not None and "=" in name:  # the first override, because there is no name
        overrides, name = [name, *(overrides or ())], None
    if list_all or (name is None and not vary and config is None):
        print_listing("studies", {study.name: study.question for study in STUDIES.values()}, json=json)
        return
    if name is not None and vary and config is None and name not in STUDIES:
        config, name = name, None  # `dlcli study spirals.yaml --vary ...`
    if name is not None:
        find_study(name)  # reject a wrong name before torch is imported

    from dlcli import api

    with _open_listeners(progress, quiet=quiet) as listeners:
        outcome = api.study(
            name,
            overrides or (),
            config=config,
            vary=vary or (),
            data=data,
            seeds=seeds,
            folder=output,
            dpi=dpi,
            listeners=listeners,
        )
    if json:
        print_json({**outcome.record, "folder": outcome.folder, "files": outcome.files}, kept=outcome.folder)
    else:
        print_result(*_summary(outcome, config), kept=outcome.folder)


@contextmanager
def _open_listeners(progress: Progress, *, quiet: bool) -> Iterator[StudyListeners]:
    """Yield listeners that show the progress of a study and stop it cleanly at a signal."""
    from dlcli.lecture.studies.trainer import StudyListeners
    from dlcli.reporters.series import choose_series_reporter
    from dlcli.signals import StopSignals

    reporter, signals = choose_series_reporter("none" if quiet else progress), StopSignals()
    signals.install()
    try:
        yield StudyListeners(reporter.advance, reporter.tell, reporter.tell, lambda: signals.received)
    finally:
        signals.restore()
        reporter.close()


def _summary(outcome: StudyOutcome, config: str | None) -> list[str | Table]:
    study = outcome.results.study
    return [
        paragraph(f"{study.name}: {study.question}", start="study     "),
        *([paragraph(study.lecture, start="lecture   ")] if study.lecture else []),
        "",
        _table(outcome.results),
        "",
        paragraph(outcome.record["short"]),
        "",
        paragraph(outcome.record["paragraph"]),
        "",
        paragraph(outcome.record["method"]),
        "",
        f"files     {outcome.folder}: {', '.join(outcome.files)}",
        *_use_lines(outcome.results, config),
    ]


def _use_lines(results: StudyResults, config: str | None) -> list[str | Table]:
    """Return the command that trains the user's config with the best settings, and one that searches beyond them."""
    from dlcli.lecture.studies.leaders import is_all_at_chance, leaders
    from dlcli.lecture.studies.vary import find_rate_beyond

    leading = [] if is_all_at_chance(results) else leaders(results)
    if leading and leading[0].label == results.study.own:
        return [f"keep      {leading[0].label}, the value of your config"]
    if config is None or config.startswith(("-", "/dev/fd/")) or not leading:
        return []
    best = next(variant for variant in results.study.variants if variant.label == leading[0].label)
    use = f"use it    dlcli train {shlex.join([config, *results.settings, *best.settings])}"
    beyond = find_rate_beyond(results)
    if beyond is None or best.value is None or beyond.value is None:
        return [use]
    vary = f"optimizer.lr={','.join(f'{lr:g}' for lr in sorted((best.value, beyond.value)))}"
    search = shlex.join(["study", "--vary", vary, "-c", config, *results.settings])
    return ["note      the best learning rate is an end of the range tried", f"beyond    dlcli {search}", use]


def _table(results: StudyResults) -> Table:
    from dlcli.lecture.studies.sentences import name_metric

    metric = name_metric(results)
    speed = f"val {metric}" if results.level is None else f"epochs to {results.level:g}"
    has_lr = len({variant.lr for variant in results.learned}) > 1 and "optimizer.lr" not in results.study.varied
    headings = ["variant", *(["lr"] if has_lr else []), speed, f"test {metric}", "difference", "same sign"]
    return make_table(headings, [_row(results, variant, has_lr=has_lr) for variant in results.variants])


def _row(results: StudyResults, variant: VariantResults, *, has_lr: bool) -> list[str]:
    from dlcli.lecture.studies.sentences import format_difference, format_spread

    comparison = results.compare_test(variant)
    difference = None if variant is results.reference else comparison.difference
    lr = "" if variant.lr is None else f"{variant.lr:g}"
    return [
        variant.label,
        *([lr] if has_lr else []),
        format_spread(variant.end) if results.level is None else _epochs(results, variant),
        format_spread(variant.test) if variant.test else "diverged",
        "" if difference is None else format_difference(difference, sign=True),
        "" if difference is None else f"{comparison.same_sign} of {difference.n}",
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
