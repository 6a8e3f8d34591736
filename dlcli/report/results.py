"""Headline and tables of a run's metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.report.html import as_text, number
from dlcli.report.tables import Bar, Bars, Cell, Table, label, matrix_table, records_table

_COMPARED = (
    "accuracy",
    "log_loss",
    "rmse",
    "mae",
    "r2",
)  # metrics shown for the run and its baselines, where available
_BASELINES = {
    "majority_class": "always the most frequent class",
    "logistic_regression": "logistic regression",
    "mean": "always the mean",
    "least_squares": "least squares (closed form)",
    "noise_floor": "noise in the data (lower bound of the error)",
}


@dataclass(frozen=True)
class Headline:
    """The most important metric of a run.

    Attributes:
        name: Name of the metric.
        value: Value as text.
        interval: 95 % confidence interval as text; "" if unknown.
        examples: Number of evaluated examples.
        split: Name of the evaluated split.
        checkpoint: Evaluated checkpoint.
    """

    name: str
    value: str
    interval: str
    examples: int
    split: str
    checkpoint: str


@dataclass(frozen=True)
class Results:
    """Metrics as a page shows them, in page order."""

    headline: Headline
    comparison: Bars
    statements: Sequence[str]
    tables: Sequence[Table]


def present_results(measured: Mapping[str, Any]) -> Results:
    """Convert the output of `dlcli eval --json` to a headline and tables.

    Args:
        measured: Output with `metrics` of either task, and with `baselines` and `statements` if available.
    """
    metrics = measured["metrics"]
    name = "accuracy" if "accuracy" in metrics else "rmse"
    interval = metrics.get(f"{name}_interval")
    headline = Headline(
        name=label(name),
        value=number(metrics[name]),
        interval=" to ".join(map(number, interval)) if interval else "",
        examples=measured["examples"],
        split=measured["split"],
        checkpoint=f"{measured['checkpoint']} checkpoint, epoch {measured['epoch']}",
    )
    baselines = measured.get("baselines") or {}
    tables = _class_tables(metrics) if "accuracy" in metrics else _regression_tables(metrics, baselines)
    comparison = _compare(name, metrics, baselines)
    tables = [_metrics_table(metrics), *tables, *_baseline_tables(baselines)]
    return Results(headline, comparison, measured.get("statements") or (), tables)


def _compare(name: str, metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Bars:
    """Return bars of the run and, below it, its baselines."""
    all_metrics = {"this run": metrics, **{key: baseline["metrics"] for key, baseline in baselines.items()}}
    names = [name, *(key for key in _COMPARED if key != name and any(key in values for values in all_metrics.values()))]
    names = [key for key in names if key in metrics]
    known = [values[name] for values in all_metrics.values() if _is_finite(values.get(name))]
    full = 1.0 if name in HIGHER_IS_BETTER else max(known, default=0) or 1.0

    def bar(key: str, values: Mapping[str, Any]) -> Bar:
        interval = values.get(f"{name}_interval")
        return Bar(
            name=key if key == "this run" else _baseline_name(key, baselines[key]),
            values=[values.get(metric) for metric in names],
            length=100 * values[name] / full if _is_finite(values.get(name)) else None,
            interval=(100 * interval[0] / full, 100 * interval[1] / full) if interval else None,
            is_own=key == "this run",
        )

    better = "longer" if name in HIGHER_IS_BETTER else "shorter"
    caption = f"This run and its baselines: a {better} bar is better" if baselines else "This run"
    return Bars(caption, [label(key) for key in names], [bar(key, values) for key, values in all_metrics.items()])


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < float("inf")


def _baseline_name(key: str, baseline: Mapping[str, Any]) -> str:
    detail = baseline.get("class", baseline.get("value"))
    name = _BASELINES.get(key, key.replace("_", " "))
    return name if detail is None else f"{name}, {as_text(detail)}"


def _metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Return the metrics that have no separate table."""
    rows: list[list[Any]] = []
    for key, value in metrics.items():
        if key == "top_k":
            rows += [[f"true class among the {k} most probable", fraction] for k, fraction in value.items()]
        elif not isinstance(value, (dict, list)):
            rows.append([label(key), value])
        if interval := metrics.get(f"{key}_interval"):
            rows += [
                [f"{label(key)}, 95 % confidence interval, {end}", value]
                for end, value in zip(("lower end", "upper end"), interval, strict=True)
            ]
    return Table("All metrics", ["metric", "value"], rows)


def _class_tables(metrics: Mapping[str, Any]) -> list[Table]:
    tables = []
    if per_class := metrics.get("per_class"):
        tables.append(
            records_table("Metrics by class", [{"class": name, **values} for name, values in per_class.items()])
        )
    if confusion := metrics.get("confusion"):
        tables += _confusion_tables(confusion)
    if pairs := metrics.get("most_confused"):
        tables.append(records_table("Most frequently confused pairs", pairs))
    for key in ("most_certain", "least_certain"):
        if examples := metrics.get(key):
            tables.append(_examples_table(f"The {key.replace('_', ' ')} predictions", examples))
    if reliability := metrics.get("reliability"):
        caption = "Reliability: accuracy of predictions by confidence"
        tables.append(records_table(caption, reliability, is_folded=True))
    return tables


def _confusion_tables(confusion: Mapping[str, Any]) -> list[Table]:
    classes, given_true, given_predicted = (
        confusion[key] for key in ("classes", "predicted_given_true", "true_given_predicted")
    )
    return [
        matrix_table(
            "Confusion matrix: number of examples by true and predicted class",
            classes,
            confusion["counts"],
            given_true,
        ),
        matrix_table(
            "P(predicted | true): fraction of a class's examples predicted as each class; rows sum to 1",
            classes,
            given_true,
            given_true,
            is_folded=True,
        ),
        matrix_table(
            "P(true | predicted): fraction of each class among the examples predicted as a class; columns sum to 1",
            classes,
            given_predicted,
            given_predicted,
            is_folded=True,
        ),
    ]


def _examples_table(caption: str, examples: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            str(example["index"]),
            example["label"],
            Cell(example["pred"], mark="correct" if example["pred"] == example["label"] else "wrong"),
            example["probability"],
            example["entropy"],
        ]
        for example in examples
    ]
    return Table(caption, ["example", "true", "predicted", "probability", "entropy"], rows)


def _regression_tables(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[Table]:
    tables = []
    if quantiles := metrics.get("residual_quantiles"):
        rows = [[percent, value] for percent, value in quantiles.items()]
        caption = "Percentiles of the residuals (target − prediction)"
        tables.append(Table(caption, ["percentile", "residual"], rows))
    if coefficients := baselines.get("least_squares", {}).get("coefficients"):
        intercept = baselines["least_squares"].get("intercept")
        rows = [[name, _single(value)] for name, value in {"intercept": intercept, **coefficients}.items()]
        tables.append(
            Table(
                "Least-squares coefficients (closed form)", ["feature", "coefficient"], rows, is_folded=len(rows) > 12
            )
        )
    return tables


def _baseline_tables(baselines: Mapping[str, Any]) -> list[Table]:
    """Return the values of the baselines that are shown nowhere else."""
    shown = ("coefficients", "intercept", "class", "value")
    rows = [
        [f"{_BASELINES.get(key, label(key))}: {name}", value]
        for key, baseline in baselines.items()
        for name, value in _leaves({name: part for name, part in baseline.items() if name not in shown})
    ]
    return [Table("All metrics of the baselines", ["metric", "value"], rows, is_folded=True)] if rows else []


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        full_path = path if key == "metrics" else (*path, label(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, full_path)
        else:
            yield ", ".join(full_path), _single(value)


def _single(value: Any) -> Any:
    """Return a single value unchanged, and a list with one value per output as text."""
    return as_text(value) if isinstance(value, (list, tuple)) else value
