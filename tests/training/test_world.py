"""Training on several processes compared with training in one: rounding without shards, bits with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.experiment import build_experiment
from dlcli.training.evaluation import evaluate_split
from dlcli.training.world import SIGNALS, World
from training.rank_programs import CASES, train

PROGRAM = Path(__file__).with_name("rank_programs.py")


class Trained(NamedTuple):
    records: list[dict[str, Any]]  # of each process, by case
    tensors: dict[str, Tensor]  # of the first process


def train_on(size: int, folder: Path, *, shards: int = 0, threads: int = 1, cases: tuple[str, ...] = ()) -> Trained:
    """Train the cases in new processes."""
    arguments = [str(size), str(folder), str(shards), str(threads), *cases]
    processes = [subprocess.Popen([sys.executable, PROGRAM, str(rank), *arguments]) for rank in range(size)]
    assert [process.wait(timeout=250) for process in processes] == [0] * size
    records = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]
    return Trained(records, safetensors.torch.load_file(folder / "tensors"))


def largest_difference(value: Tensor, expected: Tensor) -> float:
    return float((value - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, Any]]:
    return {name: train(name, World(), precision="float64") for name in CASES}


@pytest.mark.parametrize("size", [pytest.param(2, marks=pytest.mark.long), 3, pytest.param(4, marks=pytest.mark.long)])
def test_processes_agree_with_one_up_to_rounding(tmp_path: Path, alone: dict[str, dict[str, Any]], size: int) -> None:
    trained = train_on(size, tmp_path)
    assert len(CASES) >= 12
    for name in CASES:
        first, *others = (records[name] for records in trained.records)
        assert all(other == first for other in others), f"{name}: the processes differ"
        expected = alone[name]["record"]
        limit = 1e-2 if name == "bf16" else 1e-11
        assert (first["end"], len(first["rows"])) == (expected["end"], len(expected["rows"])), name
        for row, wanted in zip(first["rows"], expected["rows"], strict=True):
            assert row == pytest.approx(wanted, rel=limit, abs=limit), name
        for key, value in alone[name]["tensors"].items():
            assert largest_difference(trained.tensors[f"{name}/{key}"], value) < limit, (name, key)


def test_shards_give_the_same_bits_on_any_number_of_processes_and_threads(tmp_path: Path) -> None:
    cases = ("adam", "clipped", "balanced", "last batch of one", "eager")
    expected = {name: train(name, World(shards=4), precision="float32")["record"] for name in cases}
    for size, threads in ((2, 1), (4, 2)):
        folder = tmp_path / str(size)
        folder.mkdir()
        trained = train_on(size, folder, shards=4, threads=threads, cases=cases)
        assert len(trained.records) == size
        for records in trained.records:
            assert records == expected


@pytest.mark.parametrize("n", [0, 1, 3, 8, 647])
@pytest.mark.parametrize(("size", "shards"), [(1, None), (3, None), (2, 4), (4, 4)])
def test_parts_of_all_processes_are_the_batch(n: int, size: int, shards: int | None) -> None:
    parts = [part for rank in range(size) for part in World(rank=rank, size=size, shards=shards).parts(n)]
    pieces = torch.arange(n).tensor_split(shards or size)
    assert [torch.arange(n)[part].tolist() for part in parts] == [piece.tolist() for piece in pieces]


def test_each_validation_example_counts_once() -> None:
    experiment = build_experiment(load_config("digits", ["training.device=cpu"]).config)
    val = experiment.splits.val
    whole = evaluate_split(experiment.model, experiment.task, val)
    parts = evaluate_split(experiment.model, experiment.task, val, World(shards=5))
    assert {name: value.shape for name, value in parts.items()} == {name: value.shape for name, value in whole.items()}
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-6, atol=0, check_dtype=False)


def test_a_stop_request_to_any_process_stops_all() -> None:
    requests = torch.zeros(2, len(SIGNALS))
    World(should_stop=lambda: None).request(requests[0])
    World(should_stop=lambda: int(SIGNALS[1])).request(requests[1])
    for world in (World(rank=0, size=2), World(rank=1, size=2)):
        assert world.find_stop() is None
        world.agree(requests.sum(0))
        assert world.find_stop() == SIGNALS[1]
