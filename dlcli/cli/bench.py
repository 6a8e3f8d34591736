"""The `dlcli bench` command: training speed and start-up time on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.options import DeviceOption, JsonOption, ProgressOption, QuietOption
from dlcli.cli.output import open_reporter, print_json, print_result
from dlcli.cli.tables import make_table
from dlcli.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from dlcli.bench.speed import BenchResult, Speed


def bench_command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Override settings from the config, e.g. training.batch_size=512"),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            metavar="CONFIG",
            help="YAML file or preset to train; by default, three small built-in workloads.",
        ),
    ] = None,
    against: Annotated[
        Literal["tutorial"] | None,
        typer.Option("--against", help="Compare with the training loop of the PyTorch tutorials, on the same data."),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, metavar="N", help="Number of timing rounds per workload.")
    ] = 5,
    device: DeviceOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Measure training speed and start-up time on this machine.

    Example: dlcli bench -c digits training.batch_size=32 --against tutorial

    Example: dlcli bench
    """
    if overrides and config is None:
        raise UsageError("overrides need a config", hint=f"run `dlcli bench -c digits {overrides[0]}`")

    from dlcli import api

    reporter = open_reporter("none" if json else progress, quiet=quiet)
    result = api.bench(
        config,
        overrides or (),
        rounds=rounds,
        against=against,
        device=device,
        listen=lambda speed: reporter.note(f"{speed.workload}: {speed.microseconds_per_step[0]:.0f} µs per step"),
    )
    if json:
        print_json(_json_object(result))
    else:
        print_result(f"device    {result.device}; torch {result.torch}", _table(result, against))
        print_result("start-up  of a new process, until the first loss is reported", _start_up(result))


def _table(result: BenchResult, against: str | None) -> Table:
    headings = ["workload", "step", "µs/step", "range", "examples/s", "matmul"]
    rows = [_row(speed) for speed in result.workloads]
    return make_table([*headings, against, "speedup"] if against else headings, rows)


def _row(speed: Speed) -> list[str]:
    median, least, most = speed.microseconds_per_step
    cells = [
        speed.workload,
        speed.step,
        f"{median:,.0f}",
        f"{least:,.0f}-{most:,.0f}",
        f"{speed.examples_per_second:,.0f}",
        f"{speed.product_share:.0%}",
    ]
    if speed.against_microseconds_per_step is not None:
        cells += [f"{speed.against_microseconds_per_step[0]:,.0f}", f"{speed.times_as_fast:.1f} ×"]
    return cells


def _start_up(result: BenchResult) -> Table:
    phases = result.start_up_seconds
    rows = [[phase, f"{seconds:.2f}"] for phase, seconds in phases.items()]
    return make_table(["phase", "s"], [*rows, ["total", f"{sum(phases.values()):.2f}"]])


def _json_object(result: BenchResult) -> dict[str, Any]:
    derived = [
        {"product_share": speed.product_share, "times_as_fast": speed.times_as_fast} for speed in result.workloads
    ]
    workloads = [{**asdict(speed), **extra} for speed, extra in zip(result.workloads, derived, strict=True)]
    return {**asdict(result), "workloads": workloads}
