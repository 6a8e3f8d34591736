from __future__ import annotations

import torch

from dlcli.data.splits import Split
from dlcli.training.batches import count_batches, draw_batches, draw_order

SPLIT = Split(torch.arange(10.0).unsqueeze(1), torch.arange(10))


def test_every_example_comes_once_an_epoch_and_the_last_batch_may_be_short() -> None:
    batches = list(draw_batches(SPLIT, 4, seed=0, epoch=1))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert len(batches) == count_batches(10, 4)
    assert sorted(torch.cat([batch.targets for batch in batches]).tolist()) == list(range(10))
    assert all(torch.equal(batch.inputs[:, 0].long(), batch.targets) for batch in batches)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = draw_order(100, seed=0, epoch=1)
    torch.manual_seed(2)
    assert torch.equal(first, draw_order(100, seed=0, epoch=1))
    orders = {tuple(draw_order(100, seed, epoch).tolist()) for seed in (0, 1, 2**31) for epoch in (1, 2, 3)}
    assert len(orders) == 9


def test_full_is_the_whole_split_as_it_is() -> None:
    assert list(draw_batches(SPLIT, "full", seed=0, epoch=1)) == [SPLIT]
    assert count_batches(10, "full") == 1
