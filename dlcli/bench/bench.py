"""How fast training is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import torch

from dlcli.config.load import load_config
from dlcli.experiment import set_up
from dlcli.training.device import describe_device, memory_errors_named, pick_device
from dlcli.training.threads import machine_cores

if TYPE_CHECKING:  # what is measured seldom is imported late
    from dlcli.bench.speed import BenchResult, Speed


def bench(
    config: str | None = None,
    overrides: Sequence[str] = (),
    *,
    rounds: int = 5,
    against: Literal["tutorial"] | None = None,
    device: str | None = None,
    listen: Callable[[Speed], None] = lambda speed: None,
) -> BenchResult:
    """Measure how fast training is here; nothing is left behind.

    Args:
        config: A file or a preset; None takes three workloads of random data, and `digits` for the start-up.
        overrides: Settings that go before the config's.
        rounds: How often each workload is timed.
        against: A loop to take turns with, on the same data.
        device: Where to train; None is where the config says, or the best there is.
        listen: Called with each workload's result.

    Raises:
        ConfigError: If the config has problems.
        DataError: If data is missing, damaged or unfit.
        DeviceError: If there is no such device.
    """
    from dlcli.bench.speed import BenchResult, Workload, built_in_workloads, measure_speed
    from dlcli.bench.startup import measure_start_up

    if device is not None:
        overrides = [*overrides, f"training.device={device}"]
    if config is None:
        chosen = pick_device(device or "auto")
        workloads = built_in_workloads(chosen)
    else:
        setup = set_up(load_config(config, overrides).config)
        workloads = [Workload(config, setup.config, setup.splits)]
    speeds: list[Speed] = []
    for workload in workloads:
        with memory_errors_named(workload.config):
            speeds.append(measure_speed(workload, rounds=rounds, against=against))
        listen(speeds[-1])
    used = describe_device(workloads[0].splits.train.device, machine_cores())
    return BenchResult(used, torch.__version__, tuple(speeds), measure_start_up(config, overrides))
