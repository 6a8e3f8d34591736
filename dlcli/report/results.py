"""Figures of a run -> the tables that show them; every figure is shown somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.report.html import number, plain
from dlcli.report.tables import Bar, Bars, Cell, Table, label, matrix_table, records_table

_COMPARED = ("accuracy", "log_loss", "rmse", "mae", "r2")  # where both a run and its baselines have them
_BASELINES = {
    "majority_class": "always the most frequent class",
    "logistic_regression": "logistic regression",
    "mean": "always the mean",
    "least_squares": "least squares, in closed form",
    "noise_floor": "the noise in the data: the best there can be",
}


@dataclass(frozen=True)
class Headline:
    """The one figure that says how good a run is.

    Attributes:
        name: Which figure.
        value: As text.
        interval: Where it lies with 95 % certainty, as text; "" if that is not known.
        examples: On how many it was measured.
        split: Of which split they are.
        checkpoint: With whose parameters.
    """

    name: str
    value: str
    interval: str
    examples: int
    split: str
    checkpoint: str


@dataclass(frozen=True)
class Results:
    """What a page shows of the figures, in its order."""

    headline: Headline
    beside: Bars
    statements: Sequence[str]
    tables: Sequence[Table]


def present_results(measured: Mapping[str, Any]) -> Results:
    """Return how to show what `dlcli eval --json` gives.

    Args:
        measured: With `metrics` of either task, and `baselines` and `statements` where there are any.
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
    beside = _beside(name, metrics, baselines)
    tables = [_metrics_table(metrics), *tables, *_baseline_tables(baselines)]
    return Results(headline, beside, measured.get("statements") or (), tables)


def _beside(name: str, metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> Bars:
    """Return the run above what it is to be held against."""
    all_metrics = {"this run": metrics, **{key: one["metrics"] for key, one in baselines.items()}}
    names = [name, *(one for one in _COMPARED if one != name and any(one in known for known in all_metrics.values()))]
    names = [one for one in names if one in metrics]
    known = [values[name] for values in all_metrics.values() if _is_finite(values.get(name))]
    full = 1.0 if name in HIGHER_IS_BETTER else max(known, default=0) or 1.0

    def bar(key: str, values: Mapping[str, Any]) -> Bar:
        interval = values.get(f"{name}_interval")
        return Bar(
            name=key if key == "this run" else _baseline_name(key, baselines[key]),
            values=[values.get(one) for one in names],
            length=100 * values[name] / full if _is_finite(values.get(name)) else None,
            interval=(100 * interval[0] / full, 100 * interval[1] / full) if interval else None,
            is_own=key == "this run",
        )

    better = "longer" if name in HIGHER_IS_BETTER else "shorter"
    caption = f"This run beside its baselines: a {better} bar is better" if baselines else "This run"
    return Bars(caption, [label(one) for one in names], [bar(key, values) for key, values in all_metrics.items()])


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < float("inf")


def _baseline_name(key: str, baseline: Mapping[str, Any]) -> str:
    detail = baseline.get("class", baseline.get("value"))
    name = _BASELINES.get(key, key.replace("_", " "))
    return name if detail is None else f"{name}, {plain(detail)}"


def _metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Return every figure that has no table of its own."""
    rows: list[list[Any]] = []
    for key, value in metrics.items():
        if key == "top_k":
            rows += [[f"true class among the {k} most probable", share] for k, share in value.items()]
        elif not isinstance(value, (dict, list)):
            rows.append([label(key), value])
        if interval := metrics.get(f"{key}_interval"):
            rows += [
                [f"{label(key)}, 95 % interval {end}", value]
                for end, value in zip(("from", "to"), interval, strict=True)
            ]
    return Table("All figures", ["figure", "value"], rows)


def _class_tables(metrics: Mapping[str, Any]) -> list[Table]:
    tables = []
    if per_class := metrics.get("per_class"):
        tables.append(records_table("Each class", [{"class": name, **one} for name, one in per_class.items()]))
    if confusion := metrics.get("confusion"):
        tables += _confusion_tables(confusion)
    if pairs := metrics.get("most_confused"):
        tables.append(records_table("The pairs most often confused", pairs))
    for key in ("most_certain", "least_certain"):
        if examples := metrics.get(key):
            tables.append(_examples_table(f"The {key.replace('_', ' ')} predictions", examples))
    if reliability := metrics.get("reliability"):
        caption = "Reliability: how often a prediction of this probability is right"
        tables.append(records_table(caption, reliability, is_folded=True))
    return tables


def _confusion_tables(confusion: Mapping[str, Any]) -> list[Table]:
    classes, given_true, given_predicted = (
        confusion[key] for key in ("classes", "predicted_given_true", "true_given_predicted")
    )
    return [
        matrix_table(
            "Confusion matrix: how many examples of each class were taken for each",
            classes,
            confusion["counts"],
            given_true,
        ),
        matrix_table(
            "P(predicted | true): of the examples of a class, the share taken for each; rows sum to 1",
            classes,
            given_true,
            given_true,
            is_folded=True,
        ),
        matrix_table(
            "P(true | predicted): of the examples taken for a class, the share of each; columns sum to 1",
            classes,
            given_predicted,
            given_predicted,
            is_folded=True,
        ),
    ]


def _examples_table(caption: str, examples: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            str(one["index"]),
            one["label"],
            Cell(one["pred"], mark="right" if one["pred"] == one["label"] else "wrong"),
            one["probability"],
            one["entropy"],
        ]
        for one in examples
    ]
    return Table(caption, ["example", "true", "predicted", "probability", "entropy"], rows)


def _regression_tables(metrics: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[Table]:
    tables = []
    if quantiles := metrics.get("residual_quantiles"):
        rows = [[share, value] for share, value in quantiles.items()]
        caption = "Residuals, target less prediction: how many per cent of them lie below a value"
        tables.append(Table(caption, ["per cent", "residual"], rows))
    if coefficients := baselines.get("least_squares", {}).get("coefficients"):
        intercept = baselines["least_squares"].get("intercept")
        rows = [[name, _single(value)] for name, value in {"intercept": intercept, **coefficients}.items()]
        tables.append(
            Table("Least squares, solved in closed form", ["feature", "coefficient"], rows, is_folded=len(rows) > 12)
        )
    return tables


def _baseline_tables(baselines: Mapping[str, Any]) -> list[Table]:
    """Return every figure of the baselines that stands nowhere else."""
    elsewhere = ("coefficients", "intercept", "class", "value")
    rows = [
        [f"{_BASELINES.get(key, label(key))}: {what}", value]
        for key, one in baselines.items()
        for what, value in _leaves({name: part for name, part in one.items() if name not in elsewhere})
    ]
    return [Table("All figures of the baselines", ["figure", "value"], rows, is_folded=True)] if rows else []


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        here = path if key == "metrics" else (*path, label(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        else:
            yield ", ".join(here), _single(value)


def _single(value: Any) -> Any:
    """Return a figure; what has one for each output, as text."""
    return plain(value) if isinstance(value, (list, tuple)) else value
