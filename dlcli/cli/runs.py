"""The `dlcli runs` commands: list and show; see compare.py for compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.compare import compare_command
from dlcli.cli.group import choose_run_or_group, group_page, group_record
from dlcli.cli.options import JsonOption, RunArgument
from dlcli.cli.output import format_metrics, paragraph, print_json, print_result
from dlcli.cli.tables import make_table
from dlcli.config.paths import as_argument
from dlcli.errors import DlcliError, UsageError

if TYPE_CHECKING:
    from dlcli.api import DiagnoseResult
    from dlcli.runs.folder import GroupFolder, RunFolder
    from dlcli.runs.run import Run

app = typer.Typer(
    help="List, inspect and compare runs.\n\nExample: dlcli runs list\n\nExample: dlcli runs show digits",
    no_args_is_help=True,
)
app.command("compare")(compare_command)


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List all runs and groups of seeds with status, best epoch and validation metrics, newest last.

    Example: dlcli runs list

    Example: dlcli runs list --json
    """
    from dlcli.runs.find import list_all
    from dlcli.runs.folder import GroupFolder, runs_root

    rows = [_group_row(folder) if isinstance(folder, GroupFolder) else _row(folder) for folder in list_all()]
    if json:
        print_json({"runs": rows})
    elif not rows:
        print_result(f"no runs in {runs_root()}; create one with `dlcli train -c digits`")
    else:
        root = runs_root()
        print_result(make_table(["run", "status", "val", "epochs", "best"], [_cells(row, root) for row in rows]))


@app.command("show")
def show_command(
    run: RunArgument = None,
    diagnose: Annotated[
        bool,
        typer.Option("--diagnose", help="Diagnose the run and suggest settings to try; loads its model and data."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show how a run was trained and its results; of a group, what its seeds show.

    Example: dlcli runs show digits --diagnose

    Example: dlcli runs show --json
    """
    from dlcli.runs.comparison import class_counts
    from dlcli.runs.folder import GroupFolder
    from dlcli.runs.run import command_line, open_run
    from dlcli.runs.worlds import read_worlds

    folder = choose_run_or_group(run)
    if isinstance(folder, GroupFolder):
        _show_group(folder, diagnose=diagnose, json=json)
        return
    opened = open_run(folder.path)
    manifest, summary = opened.manifest, opened.summary
    diagnosis = _diagnose(opened) if diagnose else None
    if json:
        config = opened.config.model_dump()
        found = {} if diagnosis is None else {"findings": [asdict(finding) for finding in diagnosis.findings]}
        print_json({"run": opened.path, "config": config, "manifest": manifest, "summary": summary, **found})
        return
    versions = manifest.get("versions", {})
    splits = {"train": summary.get("train"), "val": summary.get("val"), "test": opened.test}
    counts = class_counts(opened)
    print_result(
        f"run       {opened.path}",
        f"status    {summary['status']}",
        f"started   {manifest.get('started')}",
        f"command   {command_line(manifest)}",
        f"device    {manifest.get('device')}, {_count(manifest.get('threads'), 'thread')}",
        *([f"processes {size}"] if (size := read_worlds(manifest)[-1]["size"]) != 1 else []),
        f"versions  {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"git       {manifest.get('git_commit') or 'no commit'}",
        f"best      epoch {summary['best_epoch']} of {summary.get('epochs')}, {summary.get('best_because')}"
        if summary.get("best_epoch")
        else "best      no epoch has finished",
        *(f"{split:<9} {format_metrics(metrics, counts)}" for split, metrics in splits.items() if metrics),
        *(_finding_lines(opened, diagnosis) if diagnosis is not None else ()),
    )


def _show_group(folder: GroupFolder, *, diagnose: bool, json: bool) -> None:
    """Print the statistics of a group.

    Raises:
        UsageError: If a diagnosis is requested, which is about a single run.
    """
    from dlcli.runs.group.records import read_group

    if diagnose:
        seed = folder.path / str(folder.read_seeds()[0])
        hint = f"name one of its seeds: `dlcli runs show {as_argument(str(seed))} --diagnose`"
        raise UsageError("--diagnose is about a single run, and this is a group of seeds", hint=hint)
    group = read_group(folder)
    if json:
        print_json(group_record(group))
    else:
        print_result(*group_page(group))


def _diagnose(run: Run) -> DiagnoseResult:
    from dlcli import api

    return api.diagnose(run)


def _finding_lines(run: Run, result: DiagnoseResult) -> Iterator[str]:
    """Yield the lines of the findings: statement, evidence and the command or action to try."""
    from dlcli.evaluation.diagnosis.finding import write_advice

    if not result.findings and result.epochs == 0:
        yield "\nno epoch has finished: there is nothing to diagnose yet"
    elif not result.findings:
        yield ""
        yield paragraph(f"nothing found ({len(result.checks)} checks: {', '.join(result.checks)})")
    for finding in result.findings:
        yield ""
        yield paragraph(finding.statement, start=f"{finding.severity:<9} ")
        for item in finding.evidence:
            yield paragraph(item, start=" " * 12)
        yield f"try       {write_advice(finding, str(run.folder.resolved))}"  # not wrapped, so that it can be copied


def _row(folder: RunFolder) -> dict[str, Any]:
    """Return the list entry of a run; an unreadable run gets the status `unreadable`, so that the others still show."""
    from dlcli.runs.run import Run

    row: dict[str, Any] = {"run": str(folder.path), "status": "unreadable"}
    try:
        run = Run(folder)
        row |= {key: run.summary.get(key) for key in ("status", "epochs", "best_epoch", "val")} | {"test": run.test}
        epochs = len(run.rows) if row["epochs"] is None else row["epochs"]  # None during training
        return {**row, "epochs": epochs, "epochs_planned": run.config.training.epochs}
    except DlcliError:
        return row


def _group_row(folder: GroupFolder) -> dict[str, Any]:
    """Return the list entry of a group: its seeds and the spread of its validation metrics."""
    from dlcli.evaluation.group import measure_group
    from dlcli.runs.group.records import read_group

    row: dict[str, Any] = {"run": str(folder.path), "status": "unreadable"}
    try:
        group = read_group(folder)
    except DlcliError:
        return row
    statistics = measure_group(group)
    return {
        **row,
        "status": group.status,
        "epochs": max(record.epochs for record in group.seeds),
        "epochs_planned": group.config.training.epochs,
        "seeds": statistics.seeds,
        "diverged": statistics.diverged,
        "spread": {metric: asdict(spread) for metric, spread in statistics.metrics.items()},
    }


def _cells(row: dict[str, Any], root: Path) -> list[str]:
    planned = row.get("epochs_planned")
    epochs = f"{row['epochs']}/{planned}" if planned else "–"
    val = _summarize_seeds(row) if "seeds" in row else _summarize_val(row)
    best = str(row.get("best_epoch") or "–")
    return [str(Path(row["run"]).relative_to(root)), row["status"], val, epochs, best]


def _summarize_val(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in _headlines(row.get("val")))


def _summarize_seeds(row: Mapping[str, Any]) -> str:
    """Return the validation metric to list as mean ± sd, the number of seeds and the number of diverged seeds."""
    from dlcli.config.schema import HEADLINE
    from dlcli.evaluation.seed_statistics import Spread, format_spread

    parts = [
        f"{name} {format_spread(Spread(**row['spread'][f'val/{name}']))}"
        for name in HEADLINE.values()
        if f"val/{name}" in row["spread"]
    ]
    parts.append(f"{len(row['seeds'])} seeds")
    parts += [f"{len(row['diverged'])} diverged"] if row["diverged"] else []
    return ", ".join(parts)


def _headlines(val: Mapping[str, float | None] | None) -> list[tuple[str, float]]:
    """Return the validation metrics to show in the list of runs."""
    from dlcli.config.schema import HEADLINE
    from dlcli.runs.comparison import numbers

    return [(name, value) for name, value in numbers(val) if name in HEADLINE.values()]


def _count(n: int | None, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
