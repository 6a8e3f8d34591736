"""Tables of a run's metrics, from the output of `dlcli eval --json`."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.report.html import as_text
from dlcli.report.tables import Bar, Cell, Table, label, matrix_table, records_table

# Metrics in the comparison of the run with its baselines; the first one present is the headline metric.
_COMPARED = ("accuracy", "log_loss", "rmse", "mae", "r2")
_BASELINES = {
    "majority_class": "always the most frequent class",
    "logistic_regression": "logistic regression",
    "mean": "always the mean",
    "least_squares": "least squares (closed form)",
    "noise_floor": "noise in the data (lower bound of the error)",
}
_CONFUSION = {
    "counts": "Confusion matrix: number of examples by true and predicted class",
    "predicted_given_true": (
        "P(predicted | true): fraction of a class's examples predicted as each class; rows sum to 1"
    ),
    "true_given_predicted": (
        "P(true | predicted): fraction of each class among the examples predicted as a class; columns sum to 1"
    ),
}


def compare_models(measured: Mapping[str, Any]) -> Table:
    """Return a table of the metrics of the run and its baselines, with bars of the headline metric."""
    metrics, baselines = measured["metrics"], measured["baselines"]
    models = [("this run", metrics)]
    models += [(_baseline_name(key, baseline), baseline["metrics"]) for key, baseline in baselines.items()]
    names = [name for name in _COMPARED if name in metrics]
    headline = names[0]
    known = [values[headline] for _, values in models if math.isfinite(values.get(headline, math.nan))]
    known += metrics.get(f"{headline}_interval", [])
    full = 1.0 if headline in HIGHER_IS_BETTER else max(known, default=0) or 1.0

    def bar(values: Mapping[str, Any]) -> Bar | None:
        if not math.isfinite(values.get(headline, math.nan)):
            return None
        interval = values.get(f"{headline}_interval")
        ends = (100 * interval[0] / full, 100 * interval[1] / full) if interval else None
        return Bar(100 * values[headline] / full, ends)

    better = "longer" if headline in HIGHER_IS_BETTER else "shorter"
    return Table(
        f"This run and its baselines: a {better} bar is better" if baselines else "This run",
        ["model", *map(label, names)],
        [[Cell(name, bar=bar(values)), *(values.get(key) for key in names)] for name, values in models],
        kind="bars",
    )


def _baseline_name(key: str, baseline: Mapping[str, Any]) -> str:
    detail = baseline.get("class", baseline.get("value"))
    name = _BASELINES.get(key, key.replace("_", " "))
    return name if detail is None else f"{name}, {as_text(detail)}"


def metric_tables(measured: Mapping[str, Any], shown: Container[str] = ()) -> list[Table]:
    """Return the tables of the metrics section, in the order in which the page shows them.

    Args:
        measured: Output of `dlcli eval --json`.
        shown: Names of the pictures on the page; a table with the numbers of a picture is folded.
    """
    metrics, baselines = measured["metrics"], measured["baselines"]
    tables = [
        Table("Other metrics of this run", ["metric", "value"], _metric_rows(metrics)),
        *(_class_tables(metrics, shown) if "confusion" in metrics else _regression_tables(metrics, baselines)),
        Table("Other metrics of the baselines", ["metric", "value"], _baseline_rows(baselines), is_folded=True),
    ]
    return [table for table in tables if table.rows]


def _metric_rows(metrics: Mapping[str, Any]) -> list[list[Any]]:
    """Return rows with the metrics that the page does not show elsewhere."""
    rows: list[list[Any]] = []
    for key, value in metrics.items():
        if key == "top_k":
            rows += [[f"true class among the {k} most probable", fraction] for k, fraction in value.items()]
        elif key not in _COMPARED and not isinstance(value, (dict, list)):
            rows.append([label(key), value])
    return rows


def _class_tables(metrics: Mapping[str, Any], shown: Container[str]) -> list[Table]:
    confusion = metrics["confusion"]
    shades = {**confusion, "counts": confusion["predicted_given_true"]}
    return [
        records_table(
            "Metrics by class",
            [{"class": key, **row} for key, row in metrics["per_class"].items()],
            is_folded="per_class" in shown,
        ),
        *(
            matrix_table(caption, confusion["classes"], confusion[key], shades[key], is_folded=_is_folded(key, shown))
            for key, caption in _CONFUSION.items()
        ),
        records_table("Most frequently confused pairs", metrics["most_confused"]),
        _examples_table("The most certain prediction of each class", metrics["most_certain"]),
        _examples_table("The least certain predictions", metrics["least_certain"]),
        records_table("Reliability: accuracy of predictions by confidence", metrics["reliability"], is_folded=True),
    ]


def _is_folded(matrix: str, shown: Container[str]) -> bool:
    return matrix != "counts" or "confusion" in shown


def _examples_table(caption: str, examples: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for example in examples:
        pred, true = example["pred"], example["label"]
        cell = Cell(pred, mark="correct" if pred == true else "wrong")
        rows.append([str(example["index"]), true, cell, example["probability"], example["entropy"]])
    return Table(caption, ["example", "true", "predicted", "probability", "entropy"], rows, is_folded=True)


def _regression_tables(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[Table]:
    quantiles = [[percent, value] for percent, value in metrics["residual_quantiles"].items()]
    tables = [Table("Percentiles of the residuals (target − prediction)", ["percentile", "residual"], quantiles)]
    if least_squares := baselines.get("least_squares"):
        values = {"intercept": least_squares["intercept"], **least_squares["coefficients"]}
        # With several outputs, a coefficient is a list with one value per output.
        rows = [[name, as_text(value) if isinstance(value, list) else value] for name, value in values.items()]
        caption = "Least-squares coefficients (closed form)"
        tables.append(Table(caption, ["feature", "coefficient"], rows, is_folded=len(rows) > 12))
    return tables


def _baseline_rows(baselines: Mapping[str, Any]) -> list[list[Any]]:
    """Return rows with the values of the baselines that the page does not show elsewhere."""
    rows: list[list[Any]] = []
    for key, baseline in baselines.items():
        leaves = {"rank": baseline["rank"]} if "rank" in baseline else {}
        leaves |= {f"sgd, {label(name)}": value for name, value in baseline.get("sgd", {}).items()}
        leaves |= {label(name): value for name, value in baseline["metrics"].items() if name not in _COMPARED}
        rows += [[f"{_BASELINES.get(key, label(key))}: {name}", value] for name, value in leaves.items()]
    return rows
