"""The `dlcli runs compare` command: settings, metrics and curves of several runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import name_or_path_parser, path_parser
from dlcli.cli.compare_groups import compare_group_folders, find_groups
from dlcli.cli.completion import complete_run
from dlcli.cli.options import DpiOption, JsonOption, QuietOption
from dlcli.cli.output import print_json, print_result
from dlcli.cli.table_formats import TableFormat, format_table
from dlcli.cli.tables import fitting_blocks, make_table
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError
from dlcli.text import columns_of

if TYPE_CHECKING:
    from rich.text import Text

    from dlcli.evaluation.ranking import Mark
    from dlcli.runs.comparison import Comparison
    from dlcli.runs.run import Run


def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folders or names of two or more runs.",
            parser=name_or_path_parser("RUN"),
            autocompletion=complete_run,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Also write a figure of the validation curves, or of the values by seed: a .png, .svg or .pdf file.",
            parser=path_parser("--output"),
        ),
    ] = None,
    dpi: DpiOption = 150,
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Also write an HTML page with the curves.",
            parser=name_or_path_parser("--html"),
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="METRIC", help="Metric that decides between two groups, e.g. val/loss."),
    ] = None,
    format_: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Print only the table: Markdown, CSV (all digits) or LaTeX (booktabs)."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare the differing settings and the metrics of runs side by side, or two groups of seeds by seed.

    Example: dlcli runs compare digits moons -o figure.pdf

    Example: dlcli runs compare digits moons --format md
    """
    from dlcli.runs.comparison import compare_runs
    from dlcli.runs.run import open_run

    _check_options(runs, output, format_, json=json)
    if groups := find_groups(runs):
        compare_group_folders(
            groups, metric=metric, figure=output, dpi=dpi, html=html, format_=format_, json=json, quiet=quiet
        )
        return
    if metric is not None:
        raise UsageError("--metric is for two groups of seeds, and these are runs", hint="remove --metric")
    opened = [open_run(run) for run in runs]
    comparison = compare_runs(opened)
    files = _write_files(opened, html, output, dpi)
    kept = files.get("file")
    if json:
        print_json(asdict(comparison) | files, kept=kept)
    elif format_ is not None:
        print_result(_format(opened, comparison, format_), kept=kept)
    else:
        _print(opened, comparison, files, quiet=quiet)


def _check_options(runs: Sequence[str], output: Path | None, format_: TableFormat | None, *, json: bool) -> None:
    """Check the options before any file is read.

    Raises:
        UsageError: If the options cannot be used.
    """
    if len(runs) < 2:
        raise UsageError("compare needs at least two runs", hint="run `dlcli runs list` to list the runs")
    if json and format_ is not None:
        raise UsageError("--json and --format exclude each other", hint="remove one of them")
    if output is not None:
        from dlcli.plots.style import format_of

        format_of(output)


def _write_files(runs: Sequence[Run], html: str | None, figure: Path | None, dpi: int) -> dict[str, str]:
    """Write the page and the figure, if requested, and return their paths by their JSON keys."""
    files: dict[str, str] = {}
    if html is not None or figure is not None:
        from dlcli import api
    if html is not None:
        api.compare_page(runs, html)
        files["file"] = html
    if figure is not None:
        api.compare_figure(runs, figure, dpi=dpi)
        files["figure"] = str(figure)
    return files


def _print(runs: Sequence[Run], comparison: Comparison, files: Mapping[str, str], *, quiet: bool) -> None:
    """Print the runs, their table and notes about it; without notes if `quiet`."""
    from rich.text import Text

    from dlcli.evaluation.ranking import rank_runs

    marks = rank_runs(runs, comparison)
    width = max(map(len, comparison.labels))
    rows: list[list[str | Text]] = []
    for key, *cells in _rows(comparison, marks):
        styles = [{"best": "bold", "tied": "dim", "": ""}[mark] for mark in marks.get(key, [""] * len(cells))]
        rows.append([key, *(Text(cell, style) for cell, style in zip(cells, styles, strict=True))])
    print_result(*(f"{label:<{width}}  {run}" for label, run in zip(comparison.labels, comparison.runs, strict=True)))
    headings = _headings(comparison)
    # Several tables, because a narrow terminal would hide runs of a wide one.
    for block in fitting_blocks(headings, rows, columns=columns_of(sys.stdout)):
        print_result("", make_table([headings[i] for i in block], [[row[i] for i in block] for row in rows]))
    if not quiet:
        for note in _notes(runs, marks):
            print_result("", *note)
    names = {"file": "page", "figure": "figure"}
    for key, path in files.items():
        print_result(f"{names[key]}  {path}", kept=files.get("file"))


def _notes(runs: Sequence[Run], marks: Mapping[str, Sequence[Mark]]) -> Iterator[list[str]]:
    """Yield notes about the table, each as a list of lines."""
    from dlcli.evaluation.ranking import explain_data, explain_marks

    untested = [run.path for run in runs if run.test is None]
    if 0 < len(untested) < len(runs):
        yield [f"no test metrics of {path}: run `dlcli eval {as_argument(path)}`" for path in untested]
    if different := explain_data(runs):
        yield [different]
    if marks:
        yield explain_marks(marks)


def _headings(comparison: Comparison) -> list[str]:
    """Return the headings: the setting whose values are the labels of the runs, if there is one, then the labels."""
    return [next((key for key in comparison.settings if _is_label(key, comparison)), ""), *comparison.labels]


def _setting_rows(comparison: Comparison) -> list[list[str]]:
    """Return the settings that differ, except a setting that only repeats the labels."""
    return [[key, *values] for key, values in comparison.settings.items() if not _is_label(key, comparison)]


def _is_label(key: str, comparison: Comparison) -> bool:
    from dlcli.config.render import name_setting

    values = [value.replace("_", " ") for value in comparison.settings[key]]
    labels = [label.replace("_", " ") for label in comparison.labels]
    return labels in (values, [f"{name_setting(key)} {value}" for value in values])


def _rows(comparison: Comparison, marks: Mapping[str, Sequence[Mark]]) -> list[list[str]]:
    """Return the rows of the table: the settings that differ, then the metrics with their marks."""
    from dlcli.evaluation.ranking import SYMBOLS
    from dlcli.runs.comparison import format_metric, format_time

    rows = _setting_rows(comparison)
    for key, numbers in comparison.metrics.items():
        if key == "seconds":
            rows.append(["time", *map(format_time, numbers)])
            continue
        pairs = zip(numbers, marks.get(key, [""] * len(numbers)), strict=True)
        rows.append([key, *(f"{SYMBOLS[mark]}{format_metric(value)}" for value, mark in pairs)])
    return rows


def _format(runs: Sequence[Run], comparison: Comparison, format_: TableFormat) -> str:
    """Return the table in a format; CSV is for programs, with all digits, an empty cell for None and no marks."""
    from dlcli.evaluation.ranking import rank_runs

    if format_ != "csv":
        return format_table(_headings(comparison), _rows(comparison, rank_runs(runs, comparison)), format_)
    rows = _setting_rows(comparison)
    rows += [
        [key, *("" if value is None else repr(value) for value in values)] for key, values in comparison.metrics.items()
    ]
    return format_table(_headings(comparison), rows, format_)
