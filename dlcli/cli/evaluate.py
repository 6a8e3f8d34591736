"""The `dlcli eval` command: metrics of a trained run on a split, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.checks import Check, FailOverOption, FailUnderOption, check_bounds, parse_bounds
from dlcli.cli.evaluation_page import Matrix, describe_subject, evaluation_page, headline_rows, metric_lines
from dlcli.cli.github import append_summary, escape, markdown_table
from dlcli.cli.options import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    FormatOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
)
from dlcli.cli.output import choose_run, open_reporter, print_json, print_result
from dlcli.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from dlcli.api import EvalResult


def eval_command(
    run: RunArgument = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    fail_under: FailUnderOption = None,
    fail_over: FailOverOption = None,
    confusion: Annotated[
        Matrix,
        typer.Option(
            "--confusion", help="Show the confusion matrix as counts, P(predicted | true) or P(true | predicted)."
        ),
    ] = "counts",
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Compare with simple baselines.")
    ] = True,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Evaluate on new labelled data instead of a split; without baselines.",
            parser=name_or_path_parser("--data"),
        ),
    ] = None,
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    format_: FormatOption = "text",
    quiet: QuietOption = False,
) -> None:
    """Evaluate a run on its test split and compare it with simple baselines.

    The baselines are the most frequent class and logistic regression, or the mean and least squares.

    Example: dlcli eval --fail-under accuracy=0.85

    Example: dlcli eval digits --split val --confusion given-true

    Example: dlcli eval weather --data new.csv
    """
    bounds = parse_bounds(fail_under or (), fail_over or ())

    from dlcli import api

    notify, run = open_reporter("plain", quiet=quiet).note, choose_run(run, quiet=quiet)
    if data is not None:
        options = {"--split": split != "test", "--device": device, "--data-root": data_root}
        if given := [option for option, value in options.items() if value]:
            raise UsageError(f"{given[0]} is for the run's own data, and --data names other data")
        result = api.evaluate_data(run, data, checkpoint=checkpoint)
    else:
        result = api.evaluate(
            run,
            split=split,
            checkpoint=checkpoint,
            device=device or "auto",
            data_root=data_root,
            baselines=baselines and (json or not quiet),
            notify=notify,
        )
    checks = check_bounds(bounds, result.scalars)
    failures = [check.failure for check in checks if not check.ok]
    failure = CheckFailed("; ".join(failures), failures=failures) if failures else None
    if format_ == "github":
        append_summary(_markdown(result, checks))
    if json:
        records = {"scalars": result.scalars, "checks": [check.record for check in checks]}
        print_json(asdict(result) | records, failure=failure)
    else:
        print_result(*(metric_lines(result) if quiet else evaluation_page(result, confusion)))
    if failure:
        raise failure


def _markdown(result: EvalResult, checks: Sequence[Check]) -> str:
    """Return an evaluation and its checks as Markdown for the summary of a job."""
    headings, rows = headline_rows(result)
    parts = [
        f"### {escape(f'dlcli eval {result.run}')}",
        escape(describe_subject(result)),
        markdown_table(["metric", *headings[1:]], rows),
        *map(escape, result.statements),
    ]
    if checks:
        rows = [[check.bound.text, f"{check.value:.4f}", "passed" if check.ok else "failed"] for check in checks]
        parts.append(markdown_table(["check", "value", "result"], rows))
    return "\n\n".join(parts)
