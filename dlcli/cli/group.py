"""Text and JSON about a group of seeds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dlcli.cli.output import choose_run, paragraph
from dlcli.cli.tables import make_table
from dlcli.text import page_width

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.evaluation.group import GroupStatistics
    from dlcli.evaluation.seed_statistics import Spread
    from dlcli.runs.folder import GroupFolder, RunFolder
    from dlcli.runs.group.run import GroupRun

_MOST_VALUES = 100  # most seeds whose values are listed; --json and seeds.csv have all


def choose_run_or_group(run: str | None, *, quiet: bool = False) -> RunFolder | GroupFolder:
    """Return the folder of a run or group; without a name, the newest one whose training has ended.

    Raises:
        UsageError: If there is no such run or group.
    """
    from dlcli.runs.find import find_run_or_group
    from dlcli.runs.folder import GroupFolder

    folder = find_run_or_group(run)
    if run is not None or isinstance(folder, GroupFolder):
        return folder
    return find_run_or_group(choose_run(None, quiet=quiet))


def group_statistics(run: str) -> dict[str, Any]:
    """Return the statistics of a group for JSON."""
    from dlcli.evaluation.group import measure_group
    from dlcli.runs.find import find_group
    from dlcli.runs.group.records import read_group

    return asdict(measure_group(read_group(find_group(run))))


def group_record(group: GroupRun) -> dict[str, Any]:
    """Return the record of a group for `runs show --json`."""
    from dlcli.evaluation.group import measure_group

    return {
        "run": group.path,
        "status": group.status,
        "seconds": group.seconds,
        "config": group.config.model_dump(),
        "manifest": group.manifest,
        "seeds": [asdict(record) for record in group.seeds],
        "statistics": asdict(measure_group(group)),
    }


def group_page(group: GroupRun) -> Iterator[RenderableType]:
    """Yield the parts of the page about a group, 80 columns wide."""
    from dlcli.evaluation.group import measure_group
    from dlcli.evaluation.group_sentences import describe_group, name_seeds
    from dlcli.runs.comparison import format_time

    statistics = measure_group(group)
    yield f"group     {group.path}"
    yield f"seeds     {name_seeds(statistics.seeds)}"
    yield f"status    {group.status}{_outcome(statistics)}"
    yield f"time      {format_time(group.seconds)}"
    if statistics.headline is None:
        yield ""
        yield "no seed has a result"
        return
    yield ""
    yield metrics_table(statistics)
    headline = statistics.metrics[statistics.headline]
    yield ""
    yield from _value_lines(statistics.headline, headline)
    yield ""
    for sentence in describe_group(statistics):
        yield paragraph(sentence)


def metrics_table(statistics: GroupStatistics) -> RenderableType:
    """Return a table with a row for each metric."""
    from dlcli.evaluation.seed_statistics import format_interval, format_like, format_spread

    rows = []
    for metric, spread in statistics.metrics.items():
        ends = (format_like(value or 0.0, spread) for value in (spread.least, spread.median, spread.most))
        rows.append([metric, format_spread(spread), format_interval(spread) or "–", *ends])
    return make_table(["", "mean ± sd", "95 % interval", "least", "median", "most"], rows)


def _value_lines(metric: str, spread: Spread) -> Iterator[str]:
    """Yield the value of every seed, in rows that fit on the page."""
    from dlcli.runs.comparison import format_metric

    shown = list(spread.values.items())[:_MOST_VALUES]
    width = max(len(str(seed)) for seed, _ in shown)
    cells = [f"{seed:>{width}}  {'diverged' if value is None else format_metric(value)}" for seed, value in shown]
    width = max(map(len, cells))
    per_row = max(1, (page_width(sys.stdout) - 2) // (width + 4))
    yield f"{metric} by seed"
    for i in range(0, len(cells), per_row):
        yield "  " + "    ".join(f"{cell:<{width}}" for cell in cells[i : i + per_row]).rstrip()
    if len(spread.values) > len(shown):
        yield f"  … use --json to print all {len(spread.values):,} values"


def _outcome(statistics: GroupStatistics) -> str:
    from dlcli.evaluation.group_sentences import count_diverged

    parts = []
    if statistics.diverged:
        parts.append(count_diverged(statistics))
    if statistics.unfinished:
        parts.append(f"{len(statistics.unfinished)} not finished")
    return "".join(f"; {part}" for part in parts)
