from __future__ import annotations

import pytest
import torch

from dlcli.data.scaling import Scaling
from dlcli.data.splits import Split
from dlcli.training.gather import Gatherer, _Transfer

CPU = torch.device("cpu")
FLOATS = Split(torch.arange(20.0).view(10, 2), torch.arange(10))
SCALING = Scaling(torch.tensor([3.0]), torch.tensor([7.0]))
BYTES = Split(torch.arange(20, dtype=torch.uint8).view(10, 2), torch.arange(10), SCALING)


@pytest.mark.parametrize("train", [FLOATS, BYTES], ids=["floats", "bytes"])
@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "elsewhere"])
def test_examples_come_in_the_order_asked_for_into_the_same_memory(train: Split, is_remote: bool) -> None:
    gather = Gatherer(train, CPU, 10)
    if is_remote:  # as where they don't fit on a device
        gather._transfers = [_Transfer(train, 10), _Transfer(train, 10)]
    before = gather.buffer.inputs.data_ptr()
    for wanted in ([3, 1, 4, 0], [9, 8], [5], None, None, [2, 6]):
        found = gather(None if wanted is None else torch.tensor(wanted))
        order = list(range(10)) if wanted is None else wanted
        assert torch.equal(found.inputs[:, :-1], train.inputs[order])
        assert (found.inputs[:, -1] == 1).all(), "what biases are the weights of"
        assert torch.equal(found.targets, train.targets[order])
        assert found.inputs.data_ptr() == before


def test_bytes_are_scaled_as_whole_tensors_are() -> None:
    scaled = SCALING.apply(BYTES.stored)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, (BYTES.stored.float() - 3) / 7)
    assert torch.equal(Gatherer(BYTES, CPU, 10)(None).inputs[:, :-1], scaled)
