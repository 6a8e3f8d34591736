"""dlcli eval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlcli.cli.output import (
    CheckpointOption,
    DataRootOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    RunArgument,
    SplitOption,
    make_table,
    print_json,
    print_result,
)
from dlcli.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dlcli.api import EvalResult


def eval_command(
    run: RunArgument = None,
    split: SplitOption = "test",
    checkpoint: CheckpointOption = "best",
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="METRIC=VALUE", help="Exit 6 if a metric is lower: accuracy=0.85"),
    ] = None,
    device: DeviceOption = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a run on its test split.

    Example: dlcli eval --fail-under accuracy=0.85
    """
    floors = dict(_read_floor(floor) for floor in fail_under or ())

    from dlcli import api

    result = api.evaluate(run, split=split, checkpoint=checkpoint, device=device or "auto", data_root=data_root)
    unknown = [name for name in floors if name not in result.metrics]
    if unknown:
        known = ", ".join(name for name, value in result.metrics.items() if isinstance(value, float))
        raise UsageError(f"this run has no metric {unknown[0]!r}", hint=f"its metrics are {known}")
    if json:
        print_json(asdict(result))
    elif quiet:
        print_result(*_metric_lines(result.metrics))
    else:
        print_result(*_page(result))
    _check(result.metrics, floors)


def _read_floor(text: str) -> tuple[str, float]:
    from dlcli.config.schema import HIGHER_IS_BETTER, METRICS

    name, _, value = text.partition("=")
    name = name.removeprefix("test/").removeprefix("val/")
    try:
        floor = float(value)
    except ValueError:
        raise UsageError(f"--fail-under {text!r} is not METRIC=VALUE", hint="--fail-under accuracy=0.85") from None
    if name not in HIGHER_IS_BETTER and any(name in names for names in METRICS.values()):
        raise UsageError(
            f"--fail-under {name}: a low {name} is good", hint=f"use one of {', '.join(sorted(HIGHER_IS_BETTER))}"
        )
    return name, floor


def _check(metrics: dict[str, Any], floors: dict[str, float]) -> None:
    low = [
        f"{name} {metrics[name]:.4f} is under {floor:g}" for name, floor in floors.items() if not metrics[name] >= floor
    ]
    if low:
        raise CheckFailed("; ".join(low))


def _page(result: EvalResult) -> Iterator[RenderableType]:
    yield result.run
    yield f"{result.checkpoint} checkpoint (epoch {result.epoch}), {result.split}: {result.examples:,} examples\n"
    yield from _metric_lines(result.metrics)
    if per_class := result.metrics.get("per_class"):
        yield ""
        yield _class_table(per_class)


def _metric_lines(metrics: dict[str, Any]) -> list[str]:
    return [f"{name:<10} {value:.4f}" for name, value in metrics.items() if isinstance(value, float)]


def _class_table(per_class: dict[str, dict[str, float | None]]) -> RenderableType:
    rows = []
    for name, figures in per_class.items():
        shown = ("–" if figures[key] is None else f"{figures[key]:.4f}" for key in ("precision", "recall", "f1"))
        rows.append([name, *shown, f"{figures['support']:,}"])
    return make_table(["class", "precision", "recall", "f1", "examples"], rows)
