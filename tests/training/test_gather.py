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
def test_examples_come_in_the_order_asked_for(train: Split, is_remote: bool) -> None:
    gather = Gatherer(train, CPU, 10)
    if is_remote:  # as where they don't fit on a device
        gather._transfers = [_Transfer(train, 10), _Transfer(train, 10)]
    targets = torch.empty(10, dtype=torch.int64)
    for wanted in ([3, 1, 4, 0], [9, 8], [5], None, None, [2, 6]):
        order = list(range(10)) if wanted is None else wanted
        own_targets = targets[: len(order)]
        gather(None if wanted is None else torch.tensor(wanted), own_targets)
        found = gather.inputs[: len(order)]
        assert torch.equal(found[:, :-1], train.inputs[order])
        assert (found[:, -1] == 1).all(), "what biases are the weights of"
        assert torch.equal(own_targets, train.targets[order])


def test_bytes_are_scaled_as_whole_tensors_are() -> None:
    scaled = SCALING.apply(BYTES.stored)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, (BYTES.stored.float() - 3) / 7)
    gather = Gatherer(BYTES, CPU, 10)
    gather(None, torch.empty(10, dtype=torch.int64))
    assert torch.equal(gather.inputs[:, :-1], scaled)
