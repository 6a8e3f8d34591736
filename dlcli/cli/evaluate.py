"""The `dlcli eval` command: metrics of a trained run on a split, beside baselines."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from dlcli.cli.arguments import name_or_path_parser
from dlcli.cli.checks import Check, FailOverOption, FailUnderOption, check_bounds, parse_bounds
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
from dlcli.cli.output import choose_run, open_reporter, paragraph, print_json, print_result, scalars
from dlcli.cli.tables import fitting_blocks, make_table
from dlcli.errors import CheckFailed, UsageError
from dlcli.text import page_width

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import EvalResult

Matrix: TypeAlias = Literal["counts", "given-true", "given-predicted"]

_MATRICES = {
    "counts": ("counts", "confusion matrix: rows are true classes, columns predicted classes"),
    "given-true": (
        "predicted_given_true",
        "P(predicted | true): rows are true classes, columns predicted; rows sum to 1",
    ),
    "given-predicted": (
        "true_given_predicted",
        "P(true | predicted): rows are true classes, columns predicted; columns sum to 1",
    ),
}
_MAX_CLASSES = 12  # largest confusion matrix shown
_MAX_NAME_LENGTH = 14  # longer class names are wrapped in the matrix
_MAX_ROWS = 5  # of confused pairs and of uncertain examples
_MAX_COEFFICIENTS = 12


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
    """Return an evaluation and its checks for the summary of a job."""
    headings, rows = _headline(result)
    parts = [
        f"### {escape(f'dlcli eval {result.run}')}",
        escape(_subject(result)),
        markdown_table(["metric", *headings[1:]], rows),
        *map(escape, result.statements),
    ]
    if checks:
        rows = [[check.bound.text, f"{check.value:.4f}", "passed" if check.ok else "failed"] for check in checks]
        parts.append(markdown_table(["check", "value", "result"], rows))
    return "\n\n".join(parts)


def evaluation_page(result: EvalResult, matrix: Matrix) -> Iterator[RenderableType]:
    """Yield the parts of the page, 80 columns wide."""
    metrics = result.metrics
    yield result.run
    yield f"{_subject(result)}\n"
    yield make_table(*_headline(result))
    if result.statements:
        yield ""
    for statement in result.statements:
        yield paragraph(statement, indent="  ")
    for part in _class_parts(metrics, matrix) if "confusion" in metrics else _value_parts(metrics, result.baselines):
        yield from ("", *part)


def metric_lines(result: EvalResult) -> list[str]:
    """Return one line per scalar metric."""
    shown = _without_same_loss(result.scalars)
    width = max(10, *(len(name) for name in shown))
    return [f"{name:<{width}} {value:.4f}" for name, value in shown.items()]


def _without_same_loss(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics without the log loss where it is the loss: cross-entropy without label smoothing."""
    is_same = "log_loss" in metrics and f"{metrics['loss']:.4f}" == f"{metrics['log_loss']:.4f}"
    return {name: value for name, value in metrics.items() if not (is_same and name == "log_loss")}


def _subject(result: EvalResult) -> str:
    source = result.data or result.split
    return f"{result.checkpoint} checkpoint (epoch {result.epoch}), {source}: {result.examples:,} examples"


def _headline(result: EvalResult) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the table of metrics, with a column for each baseline."""
    metrics, baselines = result.metrics, result.baselines
    others = [baseline["metrics"] for baseline in baselines.values()]
    support = [int(row["support"]) for row in metrics.get("per_class", {}).values()]
    shown = _without_same_loss(scalars(metrics, support))
    rows = []
    for name, value in shown.items():
        same = "log_loss" if name == "loss" and "log_loss" not in shown else name
        compared = [f"{other[same]:.4f}" if same in other else "" for other in others]
        rows.append([name, f"{value:.4f}", *compared])
        if interval := metrics.get(f"{name}_interval"):
            low, high = interval
            rows.append(["  95 % interval", f"{low:.4f} to {high:.4f}", *("" for _ in others)])
    rows += [[f"top {k}", f"{value:.4f}", *("" for _ in others)] for k, value in metrics.get("top_k", {}).items()]
    return ["", "this run", *(name.replace("_", " ") for name in baselines)], rows


def _class_parts(metrics: Mapping[str, Any], matrix: Matrix) -> Iterator[list[RenderableType]]:
    rows = [
        [name, *(_number(scores[key], ".4f") for key in ("precision", "recall", "f1")), f"{scores['support']:,}"]
        for name, scores in metrics["per_class"].items()
    ]
    yield [make_table(["class", "precision", "recall", "f1", "examples"], rows)]
    key, title = _MATRICES[matrix]
    classes = metrics["confusion"]["classes"]
    if len(classes) <= _MAX_CLASSES:
        yield [paragraph(title), *_matrix_tables(classes, metrics["confusion"][key])]
    else:
        yield [f"The confusion matrix of {len(classes)} classes is too wide to show; use --json to print it"]
    pairs = [
        [pair["true"], pair["predicted"], f"{pair['count']:,}", f"{100 * pair['share']:.1f} %"]
        for pair in metrics["most_confused"][:_MAX_ROWS]
    ]
    if pairs:
        yield [make_table(["most confused: true", "predicted", "examples", "of the true class"], pairs)]
    examples = [
        [str(item["index"]), item["pred"], item["label"], f"{item['probability']:.4f}", f"{item['entropy']:.4f}"]
        for item in metrics["least_certain"][:_MAX_ROWS]
    ]
    yield [make_table(["least certain: example", "predicted", "label", "P(predicted)", "entropy"], examples)]


def _matrix_tables(classes: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Iterator[RenderableType]:
    """Yield a matrix as one table, or as several that fit on a page."""
    headings = ["", *("\n".join(name.split()) for name in classes)]
    rows = [
        [_break_words(name), *(str(cell) if isinstance(cell, int) else _number(cell, ".2f") for cell in row)]
        for name, row in zip(classes, matrix, strict=True)
    ]
    for block in fitting_blocks(headings, rows, gap=1, columns=page_width(sys.stdout)):
        yield ""
        yield make_table([headings[i] for i in block], [[row[i] for i in block] for row in rows], gap=1)


def _break_words(name: str) -> str:
    return "\n".join(textwrap.wrap(name, _MAX_NAME_LENGTH, break_long_words=False, break_on_hyphens=False))


def _number(value: float | None, spec: str) -> str:
    return "–" if value is None else f"{value:{spec}}"


def _value_parts(
    metrics: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]
) -> Iterator[list[RenderableType]]:
    quantiles = metrics["residual_quantiles"]
    names = {"0": "min", "50": "median", "100": "max"}
    headings = ["target − output", *(names.get(percent, f"{percent} %") for percent in quantiles)]
    yield [make_table(headings, [["", *(f"{value:.4g}" for value in quantiles.values())]])]
    if (least_squares := baselines.get("least_squares")) is None:
        return
    coefficients = [("intercept", least_squares["intercept"]), *least_squares["coefficients"].items()]
    rows = [
        [name, ", ".join(f"{number:.6g}" for number in (value if isinstance(value, list) else [value]))]
        for name, value in coefficients[:_MAX_COEFFICIENTS]
    ]
    notes = []
    if len(coefficients) > len(rows):
        notes.append(f"… use --json to print all {len(coefficients) - 1:,} coefficients")
    if least_squares["rank"] < len(coefficients):
        notes.append(f"rank {least_squares['rank']} of {len(coefficients)} columns: the coefficients are not unique")
    yield [make_table(["least squares", "coefficient per unit of the feature"], rows), *notes]
