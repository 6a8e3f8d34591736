"""Training speed and start-up time on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from dlcli.bench.speed import BenchResult, Speed, Workload, built_in_workloads, measure_speed
from dlcli.bench.startup import measure_start_up
from dlcli.config.load import load_config
from dlcli.experiment import build_experiment
from dlcli.training.device import convert_memory_errors, describe_device, pick_device
from dlcli.training.threads import machine_cores


def bench(
    config: str | None = None,
    overrides: Sequence[str] = (),
    *,
    rounds: int = 5,
    against: Literal["tutorial"] | None = None,
    device: str | None = None,
    listen: Callable[[Speed], None] = lambda speed: None,
) -> BenchResult:
    """Measure the training speed on this machine without writing any files.

    Args:
        config: Config file or preset; None measures three workloads of random data, and the start-up with `digits`.
        overrides: Settings that override the config, such as `optimizer.lr=0.5`. Without a config, they affect only the
            start-up.
        rounds: Number of timed rounds per workload.
        against: Reference loop to time in alternation with dlcli, on the same data.
        device: Device to train on; None uses the config's device, or the best available one.
        listen: Called with the result of each workload.

    Raises:
        ConfigError: If the config has problems.
        DataError: If the data is missing, damaged or unsuitable.
        DeviceError: If the device does not exist.
    """
    if device is not None:
        overrides = [*overrides, f"training.device={device}"]
    if config is None:
        selected = pick_device(device or "auto")
        workloads = built_in_workloads(selected)
    else:
        experiment = build_experiment(load_config(config, overrides).config)
        workloads = [Workload(config, experiment.config, experiment.splits)]
    speeds: list[Speed] = []
    for workload in workloads:
        with convert_memory_errors(workload.config):
            speeds.append(measure_speed(workload, rounds=rounds, against=against))
        listen(speeds[-1])
    device_name = describe_device(workloads[0].splits.train.device, machine_cores())
    return BenchResult(device_name, torch.__version__, tuple(speeds), measure_start_up(config, overrides))
