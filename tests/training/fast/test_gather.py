from __future__ import annotations

import pytest
import torch
from modelled_gpu import CPU, CUDA, Schedule, modelled_gpu

from dlcli.data.scaling import Scaling
from dlcli.data.splits import Split
from dlcli.training.fast.gather import Gatherer

FLOATS = Split(torch.arange(20.0).view(10, 2), torch.arange(10))
SCALING = Scaling(torch.tensor([3.0]), torch.tensor([7.0]))
BYTES = Split(torch.arange(20, dtype=torch.uint8).view(10, 2), torch.arange(10), SCALING)


@pytest.mark.parametrize("schedule", ["at once", "late", 1, 2, 3])
@pytest.mark.parametrize("train", [FLOATS, BYTES], ids=["floats", "bytes"])
@pytest.mark.parametrize(("device", "data_device"), [(CPU, CPU), (CUDA, CUDA), (CUDA, CPU)], ids=str)
def test_examples_are_gathered_in_index_order(
    device: torch.device, data_device: torch.device, train: Split, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [[3, 1, 4, 0], [9, 8], [5], None, None, [2, 6]]
    with modelled_gpu(monkeypatch, schedule):
        gather = Gatherer(train.to(data_device, torch.float32), device, 10)
        targets, found = torch.empty(10, dtype=torch.int64, device=device), []
        for order in orders:
            rows = slice(len(order or range(10)))
            gather(None if order is None else torch.tensor(order).to(data_device), targets[rows])
            found.append((gather.inputs[rows].clone(), targets[rows].clone()))
        for order, (inputs, own_targets) in zip(orders, found, strict=True):
            own_inputs = inputs.to(CPU)
            assert torch.equal(own_inputs[:, :-1], train.inputs if order is None else train.inputs[order])
            assert (own_inputs[:, -1] == 1).all(), "what biases are the weights of"
            assert own_targets.to(CPU).tolist() == list(order or range(10))


def test_bytes_are_scaled_like_whole_tensors() -> None:
    scaled = SCALING.apply(BYTES.stored)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, (BYTES.stored.float() - 3) / 7)
    gather = Gatherer(BYTES, CPU, 10)
    gather(None, torch.empty(10, dtype=torch.int64))
    assert torch.equal(gather.inputs[:, :-1], scaled)
