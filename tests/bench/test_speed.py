from __future__ import annotations

import pytest
import torch
from modelled_gpu import CUDA, modelled_gpu

from dlcli.api import build_experiment
from dlcli.bench.matmul_floor import _CALLS_AT_ONCE
from dlcli.bench.speed import Speed, Workload, built_in_workloads, measure_speed
from dlcli.config.load import load_config

CPU = torch.device("cpu")


def test_a_workload_is_timed_alternately_with_the_tutorial_loop() -> None:
    config = load_config("digits", ["early_stopping.patience=1", "training.batch_size=200"]).config
    threads = torch.get_num_threads()
    speed = measure_speed(Workload("digits", config, build_experiment(config).splits), rounds=3, against="tutorial")
    median, minimum, maximum = speed.microseconds_per_step
    assert 0 < minimum <= median <= maximum
    assert speed.step == "manual"
    assert speed.batch_size == 200
    assert speed.examples_per_second == pytest.approx(1295 * 1e6 / (7 * median))
    assert speed.product_share > 0
    assert speed.against == "tutorial"
    assert speed.against_microseconds_per_step is not None
    assert speed.times_as_fast == speed.against_microseconds_per_step[0] / median
    assert torch.get_num_threads() == threads


def test_a_gpu_workload_is_timed_as_graphs_of_steps_and_products(monkeypatch: pytest.MonkeyPatch) -> None:
    with modelled_gpu(monkeypatch, "at once") as gpu:
        settings = ["training.batch_size=1000", f"training.device={CUDA}"]
        config = load_config("digits", settings).config
        speed = measure_speed(Workload("digits", config, build_experiment(config).splits), rounds=1, against="tutorial")
        of_products, of_steps = _CALLS_AT_ONCE, 2 * 11
        assert set(gpu.replays) == {of_products, of_steps}, "two batches an epoch, a step of eleven kernels"
    assert speed.product_share > 0
    assert speed.times_as_fast is not None


def test_product_share_and_ratio_use_medians() -> None:
    speed = Speed("x", "eager", 64, 1.0, (100.0, 90.0, 400.0), 25.0, "tutorial", (250.0, 1.0, 999.0))
    assert (speed.product_share, speed.times_as_fast) == (0.25, 2.5)
    assert Speed("x", "eager", 64, 1.0, (100.0, 90.0, 400.0), 25.0).times_as_fast is None


def test_built_in_workloads_are_two_classifiers_and_a_tiny_regression() -> None:
    shapes = [
        (workload.config.task, workload.splits.train.inputs.shape, workload.config.training.batch_size)
        for workload in built_in_workloads(CPU)
    ]
    assert shapes == [
        ("classification", (60_000, 784), 64),
        ("classification", (60_000, 784), 512),
        ("regression", (1_000, 1), 32),
    ]
