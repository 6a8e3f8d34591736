from __future__ import annotations

import torch

from dlcli.data.splits import Split
from dlcli.training.gather import Gatherer, _Transfer

CPU = torch.device("cpu")
TRAIN = Split(torch.arange(20.0).view(10, 2), torch.arange(10))


def test_examples_come_in_the_order_asked_for_and_the_last_span_may_be_short() -> None:
    gather = Gatherer(TRAIN, CPU, 4)
    for wanted in ([3, 1, 4, 0], [9, 8]):
        found = gather(torch.tensor(wanted))
        assert torch.equal(found.inputs, TRAIN.inputs[wanted])
        assert torch.equal(found.targets, TRAIN.targets[wanted])


def test_what_lives_elsewhere_is_copied_and_two_buffers_take_turns() -> None:
    gather = Gatherer(TRAIN, CPU, 4)
    gather._remote = [_Transfer(TRAIN, CPU, 4), _Transfer(TRAIN, CPU, 4)]
    first, second = gather(torch.tensor([3, 1, 4, 0])), gather(torch.tensor([9, 8]))
    assert first.targets.tolist() == [3, 1, 4, 0], "still there while the second is used"
    assert second.inputs.tolist() == [[18, 19], [16, 17]]
    assert gather(torch.tensor([5])).targets.data_ptr() == first.targets.data_ptr()
