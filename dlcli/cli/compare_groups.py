"""Comparison of two groups of seeds by `dlcli runs compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dlcli.cli.output import paragraph, print_json, print_result
from dlcli.cli.table_formats import TableFormat, format_table
from dlcli.cli.tables import make_table
from dlcli.config.paths import as_argument
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.evaluation.group_comparison import GroupComparison
    from dlcli.evaluation.seed_statistics import Spread
    from dlcli.runs.folder import GroupFolder, RunFolder


def find_groups(runs: Sequence[str]) -> list[GroupFolder]:
    """Return the folders of the groups; an empty list if all are runs.

    Raises:
        UsageError: If a run does not exist, or some are runs and others groups.
    """
    from dlcli.runs.find import find_run_or_group
    from dlcli.runs.folder import GroupFolder

    folders = [find_run_or_group(run) for run in runs]
    groups = [folder for folder in folders if isinstance(folder, GroupFolder)]
    if groups and len(groups) < len(folders):
        raise _mixed(groups[0], next(folder for folder in folders if not isinstance(folder, GroupFolder)))
    return groups


def _mixed(group: GroupFolder, run: RunFolder) -> UsageError:
    seed = as_argument(str(group.path / str(group.read_seeds()[0])))
    return UsageError(
        f"{group.path} is a group of seeds and {run.path} a single run, which cannot be compared",
        hint=f"compare the run with one seed: `dlcli runs compare {seed} {as_argument(str(run.path))}`",
    )


def compare_group_folders(
    folders: Sequence[GroupFolder],
    *,
    metric: str | None,
    figure: Path | None,
    dpi: int,
    html: str | None,
    format_: TableFormat | None,
    json: bool,
    quiet: bool,
) -> None:
    """Compare two groups and print the result; write the page and the figure, if requested."""
    from dlcli.evaluation.group_comparison import compare_groups
    from dlcli.runs.group.records import read_group

    comparison = compare_groups([read_group(folder) for folder in folders], metric)
    files = _write_files(comparison, html, figure, dpi)
    kept = files.get("file")
    if json:
        print_json(asdict(comparison) | files, kept=kept)
    elif format_ is not None:
        print_result(_format(comparison, format_), kept=kept)
    else:
        print_result(*comparison_page(comparison, quiet=quiet))
        names = {"file": "page", "figure": "figure"}
        print_result(*(f"{names[key]}  {path}" for key, path in files.items()), kept=kept)


def _write_files(comparison: GroupComparison, html: str | None, figure: Path | None, dpi: int) -> dict[str, str]:
    """Write the page and the figure, if requested, and return their paths by their JSON keys."""
    files: dict[str, str] = {}
    first, second = comparison.groups
    if html is not None or figure is not None:
        from dlcli import api
    if html is not None:
        api.compare_seeds_page(first, second, html, metric=comparison.metric)
        files["file"] = html
    if figure is not None:
        api.compare_seeds_figure(first, second, figure, metric=comparison.metric, dpi=dpi)
        files["figure"] = str(figure)
    return files


def _format(comparison: GroupComparison, format_: TableFormat) -> str:
    """Return the table in a format; CSV is for programs, with all digits of means and standard deviations."""
    from dlcli.evaluation.seed_statistics import format_spread

    metrics = comparison.metrics
    spreads = {name: (row.first, row.second, row.difference) for name, row in metrics.items()}
    names = [*comparison.labels, "difference"]
    if format_ != "csv":
        return format_table(
            ["metric", *names], [[metric, *map(format_spread, row)] for metric, row in spreads.items()], format_
        )
    headings = ["metric", *(f"{name}: {part}" for name in names for part in ("mean", "sd", "n"))]
    return format_table(headings, [[metric, *_all_digits(row)] for metric, row in spreads.items()], format_)


def _all_digits(spreads: Sequence[Spread]) -> list[str]:
    values = (value for spread in spreads for value in (spread.mean, spread.sd, spread.n))
    return ["" if value is None else repr(value) for value in values]


def comparison_page(comparison: GroupComparison, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Yield the parts of the page about two groups, 80 columns wide; without the explanation if `quiet`."""
    from dlcli.evaluation.group_sentences import count
    from dlcli.evaluation.seed_statistics import format_interval, format_spread

    first, second = comparison.labels
    width = max(map(len, comparison.labels))
    for label, path in zip(comparison.labels, comparison.groups, strict=True):
        yield f"{label:<{width}}  {path}"
    headings = [label.replace(", ", ",\n") for label in comparison.labels]
    if comparison.settings:
        yield ""
        yield make_table(["setting", *headings], [[key, *values] for key, values in comparison.settings.items()])
    yield ""
    rows = [
        [metric, *map(format_spread, (compared.first, compared.second, compared.difference))]
        for metric, compared in comparison.metrics.items()
    ]
    yield make_table(["metric", *headings, "difference"], rows)
    paired = comparison.paired
    yield ""
    yield f"{comparison.metric} of {count(paired.pairs, 'seed')} in common"
    interval = format_interval(paired.difference)
    ending = f", 95 % interval of its mean {interval}" if interval else ""
    yield f"difference  {format_spread(paired.difference)}{ending}"
    deciding = comparison.metrics[comparison.metric]
    if paired.difference.diverged:
        yield f"diverged    {deciding.first.diverged} of {first}, {deciding.second.diverged} of {second}"
    outcomes = ((paired.wins, "win"), (paired.ties, "tie"), (paired.losses, "loss"))
    yield f"by seed     {', '.join(count(n, noun) for n, noun in outcomes)} of {first}"
    yield paragraph(comparison.statement, start="verdict     ")
    if not quiet:
        yield ""
        yield paragraph(
            f"{comparison.metric} decides: {comparison.why}. The difference is {first} − {second}, ± its standard "
            "deviation over the common seeds. A seed in which one of the two diverged is lost by it."
        )
