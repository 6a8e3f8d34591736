"""What dlcli eval shows on a terminal."""

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
    "counts": ("counts", "confusion matrix: rows are true, columns predicted"),
    "given-true": ("predicted_given_true", "P(predicted | true): rows are true, columns predicted; a row sums to 1"),
    "given-predicted": (
        "true_given_predicted",
        "P(true | predicted): rows are true, columns predicted; a column sums to 1",
    ),
}
_WIDTH = 80
_MOST_CLASSES = 12  # whose matrix fits
_LONGEST_NAME = 14  # that is not folded at the left of the matrix
_SHOWN = 5  # pairs, and examples
_MOST_COEFFICIENTS = 12


def evaluation_page(result: EvalResult, matrix: Matrix) -> Iterator[RenderableType]:
    """Yield the page part by part, 80 columns wide.

    Args:
        result: What to show.
        matrix: How to read the confusion matrix.
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
    """Return a line for each metric that is a number."""
    figures = {name: value for name, value in metrics.items() if isinstance(value, float)}
    width = max(10, *(len(name) for name in figures))
    return [f"{name:<{width}} {value:.4f}" for name, value in figures.items()]


def _headline(metrics: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    others = [one["metrics"] for one in baselines.values()]
    rows = []
    for name, value in metrics.items():
        if isinstance(value, float):
            rows.append([name, f"{value:.4f}", *(f"{one[name]:.4f}" if name in one else "" for one in others)])
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
    if len(classes) <= _MOST_CLASSES:
        yield f"{title}\n"
        yield _matrix_table(classes, metrics["confusion"][key])
    else:
        yield f"The confusion matrix of {len(classes)} classes is too wide to show; --json has it"
    if metrics["most_confused"]:
        pairs = [
            [one["true"], one["predicted"], f"{one['count']:,}", f"{100 * one['share']:.1f} %"]
            for one in metrics["most_confused"][:_SHOWN]
        ]
        yield ""
        yield make_table(["most confused: true", "predicted", "examples", "of the true class"], pairs)
    examples = [
        [str(one["index"]), one["pred"], one["label"], f"{one['probability']:.4f}", f"{one['entropy']:.4f}"]
        for one in metrics["least_certain"][:_SHOWN]
    ]
    yield ""
    yield make_table(["least certain: example", "predicted", "label", "P(predicted)", "entropy"], examples)


def _class_table(per_class: Mapping[str, Mapping[str, float | None]]) -> RenderableType:
    rows = []
    for name, figures in per_class.items():
        shown = ("–" if figures[key] is None else f"{figures[key]:.4f}" for key in ("precision", "recall", "f1"))
        rows.append([name, *shown, f"{figures['support']:,}"])
    return make_table(["class", "precision", "recall", "f1", "examples"], rows)


def _matrix_table(classes: Sequence[str], matrix: Sequence[Sequence[float | int | None]]) -> RenderableType:
    rows = [
        [name, *("–" if one is None else str(one) if isinstance(one, int) else f"{one:.2f}" for one in row)]
        for name, row in zip(classes, matrix, strict=True)
    ]
    table = make_table(["", *classes], rows, gap=1)  # what is too wide is folded
    table.columns[0].no_wrap = max(len(name) for name in classes) <= _LONGEST_NAME
    return table


def _value_parts(metrics: Mapping[str, Any], least_squares: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    quantiles = metrics["residual_quantiles"]
    names = {"0": "least", "50": "median", "100": "most"}
    headings = ["target − output", *(names.get(percent, f"{percent} %") for percent in quantiles)]
    yield ""
    yield make_table(headings, [["", *(f"{value:.4g}" for value in quantiles.values())]])
    if least_squares is not None:
        yield ""
        yield from _coefficient_table(least_squares)


def _coefficient_table(least_squares: Mapping[str, Any]) -> Iterator[RenderableType]:
    coefficients = list(least_squares["coefficients"].items())
    rows = [("intercept", least_squares["intercept"]), *coefficients][:_MOST_COEFFICIENTS]
    yield make_table(["least squares", "per unit of the feature"], [[name, _figure(value)] for name, value in rows])
    if len(coefficients) + 1 > len(rows):
        yield f"… --json has all {len(coefficients):,} coefficients"
    if least_squares["rank"] <= len(coefficients):
        yield f"rank {least_squares['rank']} of {len(coefficients) + 1} columns: other coefficients fit as well"


def _figure(value: float | Sequence[float]) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(f"{one:.6g}" for one in value)
