"""HTML page about a sweep."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna import Study

from dlcli.config.paths import as_argument
from dlcli.errors import DlcliError
from dlcli.evaluation.group_comparison import GroupComparison, compare_groups
from dlcli.evaluation.seed_statistics import format_spread
from dlcli.report.group_comparison import comparison_table, pairs_image, pairs_table
from dlcli.report.html import number, render_page, write_page
from dlcli.report.page import ReportResult
from dlcli.report.sweep_images import history_image, importance_image, pruning_image, setting_images
from dlcli.report.sweep_tables import (
    best_table,
    budget_facts,
    importance_table,
    pruning_table,
    settings_table,
    space_table,
    trials_table,
)
from dlcli.runs.files import read_json
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.records import read_group
from dlcli.runs.run import command_line
from dlcli.sweeps.describe import name_parameters
from dlcli.sweeps.records import CONFIRMED, Confirmation, SweepResult, TrialRecord
from dlcli.sweeps.results import FEWEST_TRIALS, training_seconds
from dlcli.sweeps.sweep import Sweep
from dlcli.sweeps.trials import read_trials


@dataclass(frozen=True)
class SweepContents:
    """Contents of the page about a sweep.

    Attributes:
        sweep: The sweep.
        result: Results so far.
        records: Trials in the order of their numbers.
        manifest: Record of the start of the sweep; may be empty.
        comparison: Comparison of the best trial and the unchanged config on fresh seeds; None before the confirmation.
        seconds: Training time of all trials; None if unknown.
    """

    sweep: Sweep
    result: SweepResult
    records: Sequence[TrialRecord]
    manifest: Mapping[str, Any]
    comparison: GroupComparison | None = None
    seconds: float | None = None


def write_sweep_report(
    sweep: Sweep,
    study: Study,
    result: SweepResult,
    output: str | os.PathLike[str] | None = None,
    *,
    has_plots: bool = True,
) -> ReportResult:
    """Write a self-contained HTML page about a sweep, which may still be running.

    Args:
        sweep: The sweep.
        study: Optuna study of the sweep.
        result: Results of the sweep.
        output: File to write; None means `report.html` in the folder of the sweep.
        has_plots: Whether the page has plots.

    Raises:
        DataError: If the sweep cannot be read, or the file cannot be written.
    """
    file = sweep.folder.report if output is None else Path(output)
    page = render_sweep(read_contents(sweep, study, result), has_plots=has_plots).encode()
    write_page(file, page)
    return ReportResult(str(sweep.folder.path), str(file), len(page))


def report_after_sweep(
    sweep: Sweep, study: Study, result: SweepResult, note: Callable[[str], None], *, has_plots: bool
) -> None:
    """Write the page of a sweep that has ended or paused; errors are reported and never raised.

    Args:
        sweep: The sweep.
        study: Optuna study of the sweep.
        result: Results of the sweep.
        note: Called with a one-line message about the page.
        has_plots: Whether the page has plots, which take some seconds to import and draw.
    """
    try:
        note(f"wrote {write_sweep_report(sweep, study, result, has_plots=has_plots).file}")
    except Exception as error:  # a failed page must not fail the sweep
        path = as_argument(str(sweep.folder.path))
        note(f"could not write the report: {error}; try again with `dlcli sweep show {path} --html FILE`")


def read_contents(sweep: Sweep, study: Study, result: SweepResult) -> SweepContents:
    """Return the contents of the page about a sweep.

    Raises:
        DataError: If the sweep cannot be read.
    """
    records = read_trials(study, sweep)
    manifest = read_json(sweep.folder.manifest) if sweep.folder.manifest.exists() else {}
    comparison = _compare(sweep, result.confirmation) if result.confirmation is not None else None
    return SweepContents(sweep, result, records, manifest, comparison, training_seconds(sweep, records))


def _compare(sweep: Sweep, confirmation: Confirmation) -> GroupComparison | None:
    """Compare the groups of the confirmation; None if impossible, which the statement of the confirmation explains."""
    names = [Path(path).name for path in (confirmation.best, confirmation.unchanged)]  # the sweep may have moved
    with suppress(DlcliError):
        groups = [read_group(GroupFolder(sweep.folder.confirmation / name)) for name in names]
        return compare_groups(groups, labels=CONFIRMED)
    return None


def render_sweep(contents: SweepContents, *, has_plots: bool = True) -> str:
    """Return the HTML page about a sweep."""
    sweep, result, records = contents.sweep, contents.result, contents.records
    names = name_parameters(sweep.space)
    ended = any(record.has_ended for record in records)
    pruned = pruning_table(sweep, records)
    comparison = contents.comparison
    return render_page(
        "sweep.html.j2",
        [
            ("result", "Result", True),
            ("confirmation", "Confirmation with fresh seeds", result.confirmation),
            ("trials", "Trials", ended),
            ("importances", "Importance of the settings", ended),
            ("settings", "Values by setting", ended and has_plots),
            ("pruning", "What pruning saved", pruned.rows),
            ("budget", "Budget", True),
            ("space", "Values to try", True),
            ("continue", "How to continue", True),
        ],
        name=sweep.name,
        record=result,
        headline=_headline(contents),
        best=best_table(result.best_trials),
        changes=settings_table(sweep, result.best) if result.best else None,
        metrics=comparison_table(comparison) if comparison else None,
        pairs=pairs_table(comparison) if comparison else None,
        pair_images=[pairs_image(comparison)] if comparison and has_plots else [],
        trials=trials_table(sweep, records, names),
        history=[history_image(sweep, records)] if ended and has_plots else [],
        importances=importance_table(result.importances, names),
        importance_images=[importance_image(result.importances, names)] if result.importances and has_plots else [],
        left_out=[name for key, name in names.items() if key not in result.importances],
        fewest=FEWEST_TRIALS,
        settings=setting_images(sweep, records, result.importances, names) if has_plots else [],
        pruning=pruned,
        pruning_images=[pruning_image(records, result.epochs)] if pruned.rows and has_plots else [],
        budget=budget_facts(sweep, result, contents.manifest, contents.seconds),
        space=space_table(sweep.space, names),
        commands=_commands(contents),
        has_plots=has_plots,
    )


def _headline(contents: SweepContents) -> Mapping[str, Any]:
    """Return the texts at the top: the mean of the best trial on fresh seeds, or the best value of the search."""
    result, comparison = contents.result, contents.comparison
    if result.best is None:
        return {}
    if comparison is None:
        return {
            "value": number(result.best.value),
            "of": f"{result.metric}, best of the search: trial {result.best.number}",
        }
    metric = comparison.metrics[comparison.metric]
    mean, _, deviation = format_spread(metric.first).partition(" ± ")
    return {
        "value": mean,
        "of": f"{f'± {deviation} ' if deviation else ''}{comparison.metric} of the best trial, "
        f"mean ± standard deviation over {len(comparison.seeds)} fresh seeds",
        "unchanged": format_spread(metric.second),
        "found": f"{number(result.best.value)} {result.metric}, trial {result.best.number}",
    }


def _commands(contents: SweepContents) -> list[tuple[str, str]]:
    """Return commands that use or continue a sweep, as (description, command) pairs."""
    sweep, path = contents.sweep, str(contents.sweep.folder.path)
    more = f"sweep.trials={2 * sweep.settings.trials}"
    commands = [
        (
            "Run more trials" if contents.result.status == "finished" else "Continue the sweep",
            ["sweep", "--resume", path, *([more] if contents.result.status == "finished" else [])],
        ),
        ("Create this page again", ["sweep", "show", path, "--html", str(sweep.folder.report)]),
    ]
    confirmation = contents.result.confirmation
    if contents.result.best is not None and not (confirmation and confirmation.is_worse):
        commands.insert(0, ("Train with the settings of the best trial", ["train", "-c", str(sweep.folder.best)]))
    lines = [(description, shlex.join(["dlcli", *command])) for description, command in commands]
    if command := command_line(contents.manifest):
        lines.insert(0, ("Original command", command))
    return lines
