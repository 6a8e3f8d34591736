"""dlcli runs: list, show, compare."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.arguments import name_or_path_of
from dlcli.cli.output import JsonOption, RunArgument, make_table, print_json, print_result
from dlcli.errors import DlcliError, UsageError

if TYPE_CHECKING:
    from dlcli.evaluation.diagnosis.rules import Finding
    from dlcli.runs.folder import RunFolder

app = typer.Typer(help="What was trained.", no_args_is_help=True)
_WIDTH = 80  # columns


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the runs, newest last."""
    from dlcli.runs.folder import list_runs, runs_root

    rows = [_row(folder) for folder in list_runs()]
    if json:
        print_json({"runs": rows})
    elif not rows:
        print_result(f"no runs in {runs_root()}; `dlcli train -c digits` makes one")
    else:
        root = runs_root()
        print_result(make_table(["run", "status", "best", "val"], [_cells(row, root) for row in rows]))


@app.command("show")
def show_command(
    run: RunArgument = None,
    diagnose: Annotated[
        bool,
        typer.Option("--diagnose", help="Say what is wrong with it, and what to try; loads its model and data."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run was made with and what came out."""
    from dlcli.config.load import load_config
    from dlcli.runs.folder import find_run

    folder = find_run(run)
    manifest, summary = folder.read_manifest(), folder.read_summary()
    findings = _diagnose(folder) if diagnose else None
    if json:
        config = load_config(folder.resolved).config.model_dump()
        found = {} if findings is None else {"findings": [asdict(finding) for finding in findings]}
        print_json({"run": str(folder.path), "config": config, "manifest": manifest, "summary": summary, **found})
        return
    versions = manifest.get("versions", {})
    print_result(
        f"run       {folder.path}",
        f"status    {summary['status']}",
        f"started   {manifest.get('started')}",
        f"command   {' '.join(map(str, manifest.get('command', ())))}",
        f"device    {manifest.get('device')}, {manifest.get('threads')} threads",
        f"versions  {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"git       {manifest.get('git_commit') or 'no commit'}",
        f"best      epoch {summary.get('best_epoch')} of {summary.get('epochs')}, {summary.get('best_because')}",
        *(f"{split:<9} {_figures(summary[split])}" for split in ("train", "val", "test") if summary.get(split)),
        *(_finding_lines(findings) if findings is not None else ()),
    )


def _diagnose(folder: RunFolder) -> tuple[Finding, ...]:
    from dlcli import api

    return api.diagnose(str(folder.path)).findings


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Write findings out: what it is, what was measured beneath it, what to try."""
    if not findings:
        yield "\nno finding"
    for finding in findings:
        yield ""
        yield from _wrap(finding.statement, f"{finding.severity:<9} ")
        for one in finding.evidence:
            yield from _wrap(one, " " * 12)
        yield from _wrap(finding.advice, "try       ")


def _wrap(text: str, start: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
    return [(start if i == 0 else " " * len(start)) + line for i, line in enumerate(lines)]


@app.command("compare")
def compare_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folders or names of two runs or more.",
            parser=name_or_path_of("RUN"),
        ),
    ],
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page with the runs' curves too.",
            parser=name_or_path_of("--html"),
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show side by side where runs differ: their settings and their metrics.

    Example: dlcli runs compare digits moons --html comparison.html
    """
    from dlcli.runs.comparison import compare_runs
    from dlcli.runs.folder import find_run

    if len(runs) < 2:
        raise UsageError("compare needs at least two runs", hint="`dlcli runs list` shows them")
    comparison = compare_runs([find_run(run) for run in runs])
    if html is not None:
        from dlcli import api

        api.compare_page(comparison.runs, html)
    if json:
        print_json(asdict(comparison) | ({} if html is None else {"file": html}), kept=html)
        return
    shown = {key: ["–" if one is None else f"{one:.4f}" for one in row] for key, row in comparison.metrics.items()}
    rows = [[key, *row] for key, row in {**comparison.settings, **shown}.items()]
    print_result(*(f"{i}: {name}" for i, name in enumerate(comparison.runs, 1)))
    print_result(make_table(["", *(str(i) for i in range(1, len(runs) + 1))], rows))
    if html is not None:
        print_result(f"page  {html}", kept=html)


def _row(folder: RunFolder) -> dict[str, Any]:
    """Return a run's line in the list; one that cannot be read says so instead of hiding the others."""
    row: dict[str, Any] = {"run": str(folder.path), "status": "unreadable"}
    try:
        summary = folder.read_summary()
        return {**row, **{key: summary.get(key) for key in ("status", "epochs", "best_epoch", "val", "test")}}
    except DlcliError:
        return row


def _cells(row: dict[str, Any], root: Path) -> list[str]:
    best = f"{row['best_epoch']}/{row['epochs']}" if row.get("best_epoch") else "–"
    brief = {name: value for name, value in (row.get("val") or {}).items() if name in ("loss", "accuracy", "rmse")}
    return [str(Path(row["run"]).relative_to(root)), row["status"], best, _figures(brief)]


def _figures(metrics: dict[str, Any]) -> str:
    from dlcli.runs.comparison import numbers

    return ", ".join(f"{name} {value:.4f}" for name, value in numbers(metrics))
