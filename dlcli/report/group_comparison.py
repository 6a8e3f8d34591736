"""HTML page that compares two groups by seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dlcli.evaluation.group_comparison import GroupComparison, compare_groups
from dlcli.evaluation.seed_statistics import format_interval, format_spread
from dlcli.plots.group import draw_pairs
from dlcli.report.group import Logs, curve_images
from dlcli.report.html import Image, embed, render_page, write_page
from dlcli.report.tables import Table, Value
from dlcli.runs.find import RunName, find_group
from dlcli.runs.group.records import read_group, read_logs
from dlcli.runs.group.run import GroupRun


def compare_seeds_page(
    first: RunName, second: RunName, output: str | os.PathLike[str], *, metric: str | None = None
) -> None:
    """Write a self-contained HTML page that compares two groups by seed.

    Args:
        first: Group folder, name or result of `train_seeds`.
        second: The other group.
        output: File to write.
        metric: Metric that decides, such as `test/accuracy`; None selects the monitored metric.

    Raises:
        UsageError: If there is no such group, or the groups cannot be compared.
        DataError: If a group cannot be read, or the file cannot be written.
    """
    folders = [find_group(first), find_group(second)]
    groups, logs = [read_group(folder) for folder in folders], [read_logs(folder) for folder in folders]
    page = render_group_comparison(compare_groups(groups, metric), groups, logs)
    write_page(Path(output), page.encode())


def render_group_comparison(comparison: GroupComparison, groups: Sequence[GroupRun], logs: Sequence[Logs]) -> str:
    """Return the HTML page that compares two groups by seed."""
    labels, paired = comparison.labels, comparison.paired
    curves = curve_images(dict(zip(labels, groups, strict=True)), dict(zip(labels, logs, strict=True)))
    return render_page(
        "group_compare.html.j2",
        [
            ("result", "Result", True),
            ("curves", "Training curves", curves),
            ("config", "Settings", True),
        ],
        comparison=comparison,
        difference=format_spread(paired.difference),
        interval=format_interval(paired.difference),
        metrics=comparison_table(comparison),
        values=[pairs_image(comparison)],
        pairs=pairs_table(comparison),
        images=curves,
        settings=Table(
            "Settings that differ", ["setting", *labels], [[key, *row] for key, row in comparison.settings.items()]
        ),
    )


def comparison_table(comparison: GroupComparison) -> Table:
    """Return a table of the mean of every metric in both groups, and of the difference."""
    rows: list[Sequence[Value]] = [
        [
            metric,
            format_spread(compared.first),
            format_spread(compared.second),
            format_spread(compared.difference),
            format_interval(compared.difference) or None,
        ]
        for metric, compared in comparison.metrics.items()
    ]
    caption = f"Mean ± standard deviation over {len(comparison.seeds)} seeds in common"
    headings = ["metric", *comparison.labels, "difference", "95 % interval of its mean"]
    return Table(caption, headings, rows)


def pairs_image(comparison: GroupComparison) -> Image:
    """Return a plot of the two values of each seed."""
    deciding = comparison.metrics[comparison.metric]
    spreads = dict(zip(comparison.labels, (deciding.first, deciding.second), strict=True))
    texts = (f"{name} {format_spread(spread)}" for name, spread in spreads.items())
    alt = f"{comparison.metric}, one dot per seed, with a line between the two values of a seed: {'; '.join(texts)}."
    return embed(f"{comparison.metric} by seed", alt, partial(draw_pairs, comparison))


def pairs_table(comparison: GroupComparison) -> Table:
    """Return a table of the two values of each seed."""
    deciding = comparison.metrics[comparison.metric]
    rows: list[Sequence[Value]] = [
        [str(seed), *(spread.values[seed] for spread in (deciding.first, deciding.second, deciding.difference))]
        for seed in comparison.seeds
    ]
    return Table(f"{comparison.metric} by seed", ["seed", *comparison.labels, "difference"], rows, is_folded=True)
