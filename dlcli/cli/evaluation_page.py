"""Terminal page of `dlcli eval`: metrics beside baselines, confusion matrix and residuals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dlcli.cli.output import make_table

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
_WIDTH = 80
_MAX_CLASSES = 12  # largest confusion matrix shown
_MAX_NAME_LENGTH = 14  # class names up to this length are not wrapped in the matrix
_MAX_ROWS = 5  # of confused pairs and of uncertain examples
_MAX_COEFFICIENTS = 12


def evaluation_page(result: EvalResult, matrix: Matrix) -> Iterator[RenderableType]:
    """Yield the parts of the page, 80 columns wide.

    Args:
        result: Evaluation to show.
        matrix: Counts or conditional probabilities in the confusion matrix.
    """
    metrics = result.metrics
    yield result.run
    yield f"{result.checkpoint} checkpoint (epoch {result.epoch}), {result.split}: {result.examples:,} examples\n"
    yield _headline(metrics, result.baselines)
    if result.statements:
        yield ""
    for statement in result.statements:
        yield textwrap.fill(statement, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    if "confusion" in metrics:
        yield from _class_parts(metrics, matrix)
    else:
        yield from _value_parts(metrics, result.baselines.get("least_squares"))


def metric_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return one line per scalar metric."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    width = max(10, *(len(name) for name in numbers))
    return [f"{name:<{width}} {value:.4f}" for name, value in numbers.items()]


def _headline(metrics: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    others = [baseline["metrics"] for baseline in baselines.values()]
    rows = []
    for name, value in metrics.items():
        if isinstance(value, float):
            rows.append([name, f"{value:.4f}", *(f"{other[name]:.4f}" if name in other else "" for other in others)])
        if name == "accuracy":
            low, high = metrics["accuracy_interval"]
            rows.append(["  95 % interval", f"{low:.4f} to {high:.4f}", *("" for _ in others)])
    rows += [[f"top {k}", f"{value:.4f}", *("" for _ in others)] for k, value in metrics.get("top_k", {}).items()]
    return make_table(["", "this run", *(name.replace("_", " ") for name in baselines)], rows)


def _class_parts(metrics: Mapping[str, Any], matrix: Matrix) -> Iterator[RenderableType]:
    yield ""
    yield _class_table(metrics["per_class"])
    yield ""
    key, title = _MATRICES[matrix]
    classes = metrics["confusion"]["classes"]
    if len(classes) <= _MAX_CLASSES:
        yield f"{title}\n"
        yield _matrix_table(classes, metrics["confusion"][key])
    else:
        yield f"The confusion matrix of {len(classes)} classes is too wide to show; use --json to print it"
    if metrics["most_confused"]:
        pairs = [
            [pair["true"], pair["predicted"], f"{pair['count']:,}", f"{100 * pair['share']:.1f} %"]
            for pair in metrics["most_confused"][:_MAX_ROWS]
        ]
        yield ""
        yield make_table(["most confused: true", "predicted", "examples", "of the true class"], pairs)
    examples = [
        [str(item["index"]), item["pred"], item["label"], f"{item['probability']:.4f}", f"{item['entropy']:.4f}"]
        for item in metrics["least_certain"][:_MAX_ROWS]
    ]
    yield ""
    yield make_table(["least certain: example", "predicted", "label", "P(predicted)", "entropy"], examples)


def _class_table(per_class: Mapping[str, Mapping[str, float | None]]) -> RenderableType:
    rows = []
    for name, scores in per_class.items():
        cells = ("–" if scores[key] is None else f"{scores[key]:.4f}" for key in ("precision", "recall", "f1"))
        rows.append([name, *cells, f"{scores['support']:,}"])
    return make_table(["class", "precision", "recall", "f1", "examples"], rows)


def _matrix_table(classes: Sequence[str], matrix: Sequence[Sequence[float | int | None]]) -> RenderableType:
    rows = [
        [name, *("–" if cell is None else str(cell) if isinstance(cell, int) else f"{cell:.2f}" for cell in row)]
        for name, row in zip(classes, matrix, strict=True)
    ]
    table = make_table(["", *classes], rows, gap=1)  # cells that are too wide are wrapped
    table.columns[0].no_wrap = max(len(name) for name in classes) <= _MAX_NAME_LENGTH
    return table


def _value_parts(metrics: Mapping[str, Any], least_squares: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    quantiles = metrics["residual_quantiles"]
    names = {"0": "min", "50": "median", "100": "max"}
    headings = ["target − output", *(names.get(percent, f"{percent} %") for percent in quantiles)]
    yield ""
    yield make_table(headings, [["", *(f"{value:.4g}" for value in quantiles.values())]])
    if least_squares is not None:
        yield ""
        yield from _coefficient_table(least_squares)


def _coefficient_table(least_squares: Mapping[str, Any]) -> Iterator[RenderableType]:
    coefficients = list(least_squares["coefficients"].items())
    rows = [("intercept", least_squares["intercept"]), *coefficients][:_MAX_COEFFICIENTS]
    yield make_table(
        ["least squares", "coefficient per unit of the feature"],
        [[name, _format_coefficient(value)] for name, value in rows],
    )
    if len(coefficients) + 1 > len(rows):
        yield f"… use --json to print all {len(coefficients):,} coefficients"
    if least_squares["rank"] <= len(coefficients):
        yield f"rank {least_squares['rank']} of {len(coefficients) + 1} columns: the coefficients are not unique"


def _format_coefficient(value: float | Sequence[float]) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(f"{item:.6g}" for item in value)
