from __future__ import annotations

import pytest
import torch
from modelled_gpu import CUDA, modelled_gpu

from dlcli.api import set_up
from dlcli.bench.matmul_floor import _CALLS_AT_ONCE
from dlcli.bench.speed import Speed, Workload, built_in_workloads, measure_speed
from dlcli.config.load import load_config

CPU = torch.device("cpu")


def test_a_workload_is_timed_in_turns_with_the_tutorials_loop() -> None:
    config = load_config("digits", ["early_stopping.patience=1", "training.batch_size=200"]).config
    threads = torch.get_num_threads()
    found = measure_speed(Workload("digits", config, set_up(config).splits), rounds=3, against="tutorial")
    median, least, most = found.microseconds_per_step
    assert 0 < least <= median <= most
    assert found.step == "manual"
    assert found.batch_size == 200
    assert found.examples_per_second == pytest.approx(1295 * 1e6 / (7 * median))
    assert found.product_share > 0
    assert found.against == "tutorial"
    assert found.against_microseconds_per_step is not None
    assert found.times_as_fast == found.against_microseconds_per_step[0] / median
    assert torch.get_num_threads() == threads


def test_a_gpu_s_workload_is_timed_as_graphs_of_steps_and_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    with modelled_gpu(monkeypatch, "at once") as gpu:
        settings = ["training.batch_size=1000", f"training.device={CUDA}"]
        config = load_config("digits", settings).config
        found = measure_speed(Workload("digits", config, set_up(config).splits), rounds=1, against="tutorial")
        of_products, of_steps = _CALLS_AT_ONCE, 2 * 11
        assert set(gpu.replays) == {of_products, of_steps}, "two batches an epoch, a step of eleven kernels"
    assert found.product_share > 0
    assert found.times_as_fast is not None


def test_shares_and_ratios_are_of_medians() -> None:
    found = Speed("x", "eager", 64, 1.0, (100.0, 90.0, 400.0), 25.0, "tutorial", (250.0, 1.0, 999.0))
    assert (found.product_share, found.times_as_fast) == (0.25, 2.5)
    assert Speed("x", "eager", 64, 1.0, (100.0, 90.0, 400.0), 25.0).times_as_fast is None


def test_the_built_in_workloads_are_a_classifier_twice_and_a_tiny_regression() -> None:
    shapes = [
        (one.config.task, one.splits.train.inputs.shape, one.config.training.batch_size)
        for one in built_in_workloads(CPU)
    ]
    assert shapes == [
        ("classification", (60_000, 784), 64),
        ("classification", (60_000, 784), 512),
        ("regression", (1_000, 1), 32),
    ]
