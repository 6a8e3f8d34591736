"""Text about the results of a sweep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlcli.cli.output import paragraph
from dlcli.cli.tables import make_table
from dlcli.config.paths import as_argument
from dlcli.errors import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from dlcli.sweeps.records import SweepResult


def sweep_page(result: SweepResult) -> Iterator[RenderableType]:
    """Yield the parts of the text about a sweep."""
    yield from _counts(result)
    yield ""
    if result.best is None:
        yield "no trial has finished"
    else:
        yield from _best(result)
    if result.importances:
        yield ""
        rows = [[name, f"{100 * share:.0f} %"] for name, share in result.importances.items()]
        yield make_table(["importance", "share of the variation"], rows)
    yield ""
    yield from _confirmation(result)
    yield _next(result)


def _counts(result: SweepResult) -> Iterator[str]:
    yield f"sweep     {one_line(result.sweep)}"
    yield f"status    {result.status}"
    names = {"running": "begun"} if result.status == "paused" else {}
    counts = ", ".join(f"{count:,} {names.get(state, state)}" for state, count in result.trials.items() if count)
    yield f"trials    {sum(result.trials.values()):,}: {counts}"
    epochs = result.epochs
    yield f"epochs    {epochs['trained']:,} trained, {epochs['saved']:,} saved by pruning"
    if not result.is_reproducible:
        size = min(8, sum(result.trials.values()))
        yield f"note      not reproducible in parallel; sweep.generation={size} would be"


def _best(result: SweepResult) -> Iterator[RenderableType]:
    from dlcli.runs.comparison import format_metric

    assert result.best is not None
    yield _best_table(result)
    yield ""
    value = f"{result.metric} {format_metric(result.best.value)}"
    yield paragraph(f"The best value, {value}, is too good to be true: trial {result.best.number} was chosen for it.")


def _best_table(result: SweepResult) -> Table:
    """Return a table of the best trials, with a column for each and a row for each setting."""
    from dlcli.runs.comparison import format_metric
    from dlcli.sweeps.describe import list_settings

    trials, settings = result.best_trials, [list_settings(trial.settings) for trial in result.best_trials]
    names = sorted(dict.fromkeys(name for values in settings for name in values), key=_section)
    rows = [
        [result.metric, *(format_metric(trial.value) for trial in trials)],
        ["epochs", *(f"{trial.epochs:,}" for trial in trials)],
        *([name, *(values.get(name, "–") for values in settings)] for name in names),
    ]
    return make_table(["best trials", *(f"trial {trial.number}" for trial in trials)], rows)


def _section(setting: str) -> tuple[str, bool]:
    """Return a sort key for settings: by section, and within a section `name` first."""
    section, _, name = setting.rpartition(".")
    return section, name != "name"


def _confirmation(result: SweepResult) -> Iterator[str]:
    from dlcli.runs.comparison import format_metric
    from dlcli.sweeps.records import CONFIRMED

    confirmation = result.confirmation
    if confirmation is not None:
        pairs = zip(CONFIRMED, confirmation.means, strict=True)
        means = (f"{name} {format_metric(mean)}" for name, mean in pairs)
        yield paragraph(f"mean {confirmation.metric} with fresh seeds: {', '.join(means)}", start="confirmed ")
        yield paragraph(confirmation.statement, start="verdict   ")
        if confirmation.is_worse:
            yield "advice    keep the unchanged config: best.yaml is no improvement"
    elif result.best is not None:
        text = "no: the best trial and the unchanged config were not trained with fresh seeds"
        yield paragraph(text, start="confirmed ")


def _next(result: SweepResult) -> str:
    resume = f"next      dlcli sweep --resume {as_argument(result.sweep)}"
    if result.confirmation is not None and result.confirmation.is_worse:
        return f"{resume} sweep.trials={2 * sum(result.trials.values())}"
    if result.status == "finished" and result.best is not None:
        return f"next      dlcli train -c {as_argument(os.path.join(result.sweep, 'best.yaml'))}"
    return resume
