"""Page of an evaluation in the terminal: metrics, baselines, confusion matrix and coefficients."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dlcli.cli.output import paragraph, scalars
from dlcli.cli.tables import fitting_blocks, make_table
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
_MAX_ROWS = 5  # most confused pairs, and most uncertain examples, shown
_MAX_COEFFICIENTS = 12


def evaluation_page(result: EvalResult, matrix: Matrix) -> Iterator[RenderableType]:
    """Yield the parts of the page, 80 columns wide."""
    metrics = result.metrics
    yield result.run
    yield f"{describe_subject(result)}\n"
    yield make_table(*headline_rows(result))
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
    """Return the metrics without the log loss if it equals the loss, as for cross-entropy without label smoothing."""
    is_same = "log_loss" in metrics and f"{metrics['loss']:.4f}" == f"{metrics['log_loss']:.4f}"
    return {name: value for name, value in metrics.items() if not (is_same and name == "log_loss")}


def describe_subject(result: EvalResult) -> str:
    """Return a description of the evaluation: checkpoint, epoch, split and number of examples."""
    source = result.data or result.split
    return f"{result.checkpoint} checkpoint (epoch {result.epoch}), {source}: {result.examples:,} examples"


def headline_rows(result: EvalResult) -> tuple[list[str], list[list[str]]]:
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
