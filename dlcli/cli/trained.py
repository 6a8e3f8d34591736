"""Result of `dlcli train` as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.group import group_page, group_statistics
from dlcli.cli.output import format_metrics, print_json, print_result
from dlcli.cli.voice import prints_result
from dlcli.config.paths import as_argument
from dlcli.errors import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import SeedsResult, TrainResult


def print_trained(result: TrainResult | SeedsResult, *, json: bool) -> None:
    """Print the result of a training; only the first of several processes does."""
    from dlcli import api

    if not prints_result():
        return
    if json:
        print_json(_json_object(result), kept=result.run)
    else:
        parts = _summary(result) if isinstance(result, api.TrainResult) else _seeds_summary(result)
        print_result(*parts, kept=result.run)


def _json_object(result: TrainResult | SeedsResult) -> dict[str, object]:
    from dlcli import api

    statistics = {"statistics": group_statistics(result.run)} if isinstance(result, api.SeedsResult) else {}
    optional = ("test", "warning", "nothing_left")
    shown = {key: value for key, value in asdict(result).items() if value is not None or key not in optional}
    return {**shown, **statistics}


def _summary(result: TrainResult) -> list[str]:
    from dlcli.runs.comparison import class_counts
    from dlcli.runs.run import open_run

    counts = class_counts(open_run(result.run))
    lines = [
        f"run       {one_line(result.run)}",
        *(f"note      {one_line(note)}" for note in result.recovered),
        *([f"status    {result.nothing_left}"] if result.nothing_left else []),
        *_stopping_lines(result),
        f"best      epoch {result.best_epoch} of {result.epochs}, {result.best_because}",
        f"{'val' if result.val else 'train':<9} {format_metrics(result.val or result.train, counts)}",
    ]
    if result.warning:
        lines.append(f"warning   {result.warning}")
    if result.test is None:
        lines.append(f"next      dlcli eval {as_argument(result.run)}")
    else:
        lines.append(f"test      {format_metrics(result.test, counts)}")
        lines.append(f"next      dlcli predict {as_argument(result.run)}")
    return lines


def _stopping_lines(result: TrainResult) -> list[str]:
    """Return a line about early stopping if it ended the training, else no lines."""
    if result.status != "stopped early" or result.nothing_left:
        return []
    from dlcli.runs.run import open_run

    early = open_run(result.run).config.early_stopping
    patience = early.patience or 0  # never 0, because early stopping ended the training
    waited = f"{patience} epoch{'' if patience == 1 else 's'}"
    best = result.epochs - patience
    return [f"status    stopped early: {early.monitor} has not improved for {waited} (best: epoch {best})"]


def _seeds_summary(result: SeedsResult) -> Iterator[RenderableType]:
    """Yield the parts of the text about a group of seeds."""
    from dlcli.runs.find import find_group
    from dlcli.runs.group.records import read_group

    yield from (f"note      {one_line(note)}" for note in result.recovered)
    if result.nothing_left:
        yield f"note      {result.nothing_left}"
    yield from group_page(read_group(find_group(result.run)))
    yield ""
    yield f"next      dlcli report {as_argument(result.run)}"
