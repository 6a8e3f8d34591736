from __future__ import annotations

import pytest
import torch
from modelled_gpu import CPU, CUDA, Schedule, modelled_gpu

from dlcli.data.scaling import Scaling
from dlcli.data.shared_split import SharedSplit
from dlcli.data.splits import Split
from dlcli.training.fast.gather import Gatherer, SharedGatherer

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


@pytest.mark.parametrize("whole", [BYTES.stored, FLOATS.stored], ids=["bytes", "floats"])
def test_models_gather_from_one_copy_what_each_would_gather_alone(whole: torch.Tensor) -> None:
    scalings = [Scaling(torch.tensor([shift, 1.0]), torch.tensor([7.0, 0.3])) for shift in (3.0, 0.0)]
    rows = [torch.tensor([8, 2, 5, 1, 9]), torch.tensor([0, 4, 7, 3, 6])]
    splits = [SharedSplit(whole, each, 10 * each, scaling) for each, scaling in zip(rows, scalings, strict=True)]
    index = [torch.tensor([4, 0, 3]), torch.tensor([1, 2, 0])]
    gather, targets = SharedGatherer(splits, torch.ones(2, 2, 3)), torch.empty(2, 3, dtype=torch.int64)
    gather.begin_chunk(index, targets)
    for first, n in ((0, 2), (2, 1)):
        gather.gather(first, n)
        for split, positions, inputs in zip(splits, index, gather.inputs[:, :n, :-1], strict=True):
            alone = Gatherer(split, CPU, 3)
            alone(positions, torch.empty(3, dtype=torch.int64))
            assert torch.equal(inputs, alone.inputs[first : first + n, :-1])
            assert torch.equal(inputs, split.inputs[positions][first : first + n])
    assert targets.tolist() == [[90, 80, 10], [40, 70, 0]]
