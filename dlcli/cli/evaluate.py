"""The `dlcli eval` command: metrics of a trained run on a split."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated, Any

import typer

from dlcli.cli.evaluation_page import Matrix, evaluation_page, metric_lines
from dlcli.cli.output import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
    open_reporter,
    print_json,
    print_result,
)
from dlcli.errors import CheckFailed, UsageError

_LOWER_IS_BETTER = frozenset({"log_loss", "brier_score", "ece"})  # in addition to the metrics logged in training


def eval_command(
    run: RunArgument = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under", metavar="METRIC=VALUE", help="Exit with 6 if a metric is below a value, e.g. accuracy=0.85"
        ),
    ] = None,
    confusion: Annotated[
        Matrix,
        typer.Option(
            "--confusion", help="Show the confusion matrix as counts, P(predicted | true) or P(true | predicted)."
        ),
    ] = "counts",
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Compare with simple baselines.")
    ] = True,
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Evaluate a run on its test split and compare it with simple baselines.

    The baselines are the most frequent class and logistic regression, or the mean and least squares.

    Example: dlcli eval --fail-under accuracy=0.85
    """
    thresholds = dict(_parse_threshold(threshold) for threshold in fail_under or ())

    from dlcli import api

    result = api.evaluate(
        run,
        split=split,
        checkpoint=checkpoint,
        device=device or "auto",
        data_root=data_root,
        baselines=baselines and (json or not quiet),
        notify=open_reporter("plain", quiet=quiet).note,
    )
    unknown = [name for name in thresholds if not isinstance(result.metrics.get(name), float)]
    if unknown:
        known = ", ".join(name for name, value in result.metrics.items() if isinstance(value, float))
        raise UsageError(f"this run has no metric {unknown[0]!r}", hint=f"choose one of {known}")
    if json:
        print_json(asdict(result))
    elif quiet:
        print_result(*metric_lines(result.metrics))
    else:
        print_result(*evaluation_page(result, confusion))
    _check(result.metrics, thresholds)


def _parse_threshold(text: str) -> tuple[str, float]:
    from dlcli.config.schema import HIGHER_IS_BETTER, METRICS

    name, _, value = text.partition("=")
    name = name.removeprefix("test/").removeprefix("val/")
    try:
        threshold = float(value)
    except ValueError:
        threshold = math.nan
    if not math.isfinite(threshold):
        raise UsageError(
            f"--fail-under {text!r} is not METRIC=VALUE", hint="write it like `--fail-under accuracy=0.85`"
        )
    logged = {name for names in METRICS.values() for name in names}
    if name in logged - HIGHER_IS_BETTER | _LOWER_IS_BETTER:
        raise UsageError(
            f"--fail-under cannot check {name}: lower is better",
            hint=f"choose one of {', '.join(sorted(HIGHER_IS_BETTER))}",
        )
    return name, threshold


def _check(metrics: dict[str, Any], thresholds: dict[str, float]) -> None:
    low = [
        f"{name} {metrics[name]:.4f} is below {threshold:g}"
        for name, threshold in thresholds.items()
        if not metrics[name] >= threshold
    ]
    if low:
        raise CheckFailed("; ".join(low))
