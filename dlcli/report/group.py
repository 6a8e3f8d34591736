"""HTML page about a group of seeds."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from dlcli.config.schema import HEADLINE
from dlcli.evaluation.group import GroupStatistics, measure_group
from dlcli.evaluation.group_sentences import count_diverged, describe_group
from dlcli.evaluation.seed_statistics import Spread, format_interval, format_like, format_spread
from dlcli.overview import describe_data
from dlcli.plots.group import draw_seed_curves, draw_values
from dlcli.report.html import Image, embed, number, render_page, write_page
from dlcli.report.page import REPORT, ReportResult
from dlcli.report.record import environment_facts, settings_tables
from dlcli.report.tables import Table, Value, label
from dlcli.runs.find import RunName, find_group
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.records import read_group, read_logs
from dlcli.runs.group.run import GroupRun
from dlcli.runs.log import Row
from dlcli.runs.run import command_line

Logs: TypeAlias = Mapping[int, Sequence[Row]]  # log rows by seed

_MOST_SEEDS = 40  # maximum number of seeds in an unfolded table and in an alternative text


def report_seeds(group: RunName, output: str | os.PathLike[str] | None = None) -> ReportResult:
    """Write a self-contained HTML page about a group of seeds: statistics, every value, curves and settings.

    Args:
        group: Group folder, name or result of `train_seeds`.
        output: File to write; None means `report.html` in the folder of the group.

    Raises:
        UsageError: If there is no such group.
        DataError: If the group cannot be read, or the file cannot be written.
    """
    folder = find_group(group)
    return write_group_report(read_group(folder), read_logs(folder), None if output is None else Path(output))


def report_after_training(folder: GroupFolder, note: Callable[[str], None], *, has_plots: bool) -> None:
    """Write the page of a finished group; errors are reported and never raised.

    Args:
        folder: The group.
        note: Called with a one-line message about the result.
        has_plots: Whether the page has plots, which take a second to import and draw.
    """
    try:
        logs = read_logs(folder) if has_plots else None
        note(f"wrote {write_group_report(read_group(folder), logs).file}")
    except Exception as error:  # a failed page must not fail the training
        note(f"could not write the report: {error}; try again with `dlcli report {folder.path}`")


def write_group_report(group: GroupRun, logs: Logs | None, output: Path | None = None) -> ReportResult:
    """Write a self-contained HTML page about a group of seeds.

    Args:
        group: The group.
        logs: Log rows of each seed; None for a page without plots.
        output: File to write; None means `report.html` in the folder of the group.

    Raises:
        DataError: If the file cannot be written.
    """
    file = Path(group.path) / REPORT if output is None else output
    page = render_group(group, logs).encode()
    write_page(file, page)
    return ReportResult(group.path, str(file), len(page))


def render_group(group: GroupRun, logs: Logs | None) -> str:
    """Return the HTML page about a group of seeds, without plots if there are no logs."""
    statistics = measure_group(group)
    curves = [] if logs is None else curve_images({"median": group}, {"median": logs})
    return render_page(
        "group.html.j2",
        [
            ("result", "Result", True),
            ("seeds", "Seeds", True),
            ("curves", "Training curves", curves),
            ("config", "Settings", True),
            ("environment", "Environment", True),
            ("repeat", "How to reproduce this group", True),
        ],
        record=group,
        data=describe_data(group.config),
        statistics=statistics,
        headline=statistics.metrics.get(statistics.headline or ""),
        summary=_summarize(statistics),
        diverged=count_diverged(statistics) if statistics.diverged else "",
        statements=list(describe_group(statistics)),
        spreads=_spread_table(statistics),
        values=[] if logs is None else _value_images(statistics),
        seeds=_seed_table(group, statistics),
        images=curves,
        settings=settings_tables(group.config, group.origins),
        environment=environment_facts(group.manifest, {"seconds": group.seconds}),
        commands=_commands(group),
        has_plots=logs is not None,
    )


def _summarize(statistics: GroupStatistics) -> Mapping[str, str]:
    """Return the texts of the headline: mean, deviation, interval and range."""
    if statistics.headline is None:
        return {}
    spread = statistics.metrics[statistics.headline]
    mean, _, deviation = format_spread(spread).partition(" ± ")
    return {
        "mean": mean,
        "deviation": f"± {deviation}" if deviation else "",
        "interval": format_interval(spread),
        "range": f"{_like(spread.least, spread)} to {_like(spread.most, spread)}",
        "metric": label(statistics.headline.rpartition("/")[2]),
        "split": statistics.headline.partition("/")[0],
    }


def _like(value: float | None, spread: Spread) -> str:
    return "–" if value is None else format_like(value, spread)


def _spread_table(statistics: GroupStatistics) -> Table:
    rows: list[Sequence[Value]] = [
        [
            metric,
            spread.mean,
            spread.sd,
            format_interval(spread) or None,
            spread.least,
            spread.median,
            spread.most,
            spread.n,
            spread.diverged,
        ]
        for metric, spread in statistics.metrics.items()
    ]
    headings = ["metric", "mean", "sd", "95 % interval of the mean", "least", "median", "most", "n", "diverged"]
    return Table("Metrics at the best epoch of each seed", headings, rows)


def _value_images(statistics: GroupStatistics) -> list[Image]:
    """Return up to two plots with a dot for each seed.

    They show the headline metric on test and on validation; if one is missing, train/loss takes its place.
    """
    if statistics.headline is None:
        return []
    name = statistics.headline.rpartition("/")[2]
    images = []
    for metric in (f"test/{name}", f"val/{name}", "train/loss"):
        if (spread := statistics.metrics.get(metric)) is not None:
            test_set = statistics.test_set if statistics.test_set and statistics.test_set.metric == metric else None
            draw = partial(draw_values, {"seeds": spread}, metric, test_set)
            images.append(embed(f"{metric} by seed", f"{metric}, one dot per seed: {_describe(spread)}.", draw))
    return images[:2]


def _describe(spread: Spread) -> str:
    values = ", ".join(f"{seed} {number(value)}" for seed, value in [*spread.values.items()][:_MOST_SEEDS])
    return f"mean {format_spread(spread)}, from {number(spread.least)} to {number(spread.most)}; by seed {values}"


def _seed_table(group: GroupRun, statistics: GroupStatistics) -> Table:
    metrics = statistics.metrics
    rows: list[Sequence[Value]] = [
        [
            str(record.seed),
            record.status,
            record.epochs,
            record.best_epoch,
            *(spread.values.get(record.seed) for spread in metrics.values()),
        ]
        for record in group.seeds
    ]
    headings = ["seed", "status", "epochs", "best epoch", *metrics]
    return Table(f"All {len(rows):,} seeds", headings, rows, is_folded=len(rows) > _MOST_SEEDS)


def curve_images(groups: Mapping[str, GroupRun], logs: Mapping[str, Logs]) -> list[Image]:
    """Return plots by epoch of the losses and of the headline metric if the logs contain them."""
    headlines = dict.fromkeys(f"val/{HEADLINE[group.config.task]}" for group in groups.values())
    images = []
    for metric in ("train/loss", "val/loss", *headlines):
        if any(metric in row for table in logs.values() for rows in table.values() for row in rows):
            n = sum(map(len, logs.values()))
            alt = f"{metric} by epoch: a thin line for each of {n} seeds, and {' and '.join(groups)} as thick lines."
            images.append(embed(f"{metric} by epoch", alt, partial(draw_seed_curves, groups, logs, metric)))
    return images


def _commands(group: GroupRun) -> list[tuple[str, str]]:
    """Return commands that reproduce a group, as (description, command) pairs."""
    seeds, path = [record.seed for record in group.seeds], group.path
    again = ["train", "-c", f"{path}/resolved.yaml", "--seeds", str(len(seeds))]
    commands = [
        ("Train again from the settings recorded in this group", again),
        (f"Evaluate seed {seeds[0]} alone; each seed is a run", ["eval", f"{path}/{seeds[0]}"]),
        (f"Train seed {seeds[0]} again and compare it bit by bit", ["verify", f"{path}/{seeds[0]}"]),
        ("Create this page again", ["report", path]),
    ]
    lines = [(description, shlex.join(["dlcli", *command])) for description, command in commands]
    if command := command_line(group.manifest):
        lines.insert(0, ("Original command", command))
    return lines
