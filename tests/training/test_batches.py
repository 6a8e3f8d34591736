from __future__ import annotations

import torch

from dlcli.data.splits import Split
from dlcli.training.batches import batches_per_chunk, batches_per_gather, count_batches, draw_chunks, draw_order

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SPLIT = Split(torch.arange(10.0).unsqueeze(1), torch.arange(10))


def test_epoch_contains_every_example_once_and_last_batch_may_be_shorter() -> None:
    chunks = [chunk for chunk in draw_chunks(SPLIT, 2, batches=2, seed=0, epoch=1) if chunk is not None]
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert sorted(torch.cat(chunks).tolist()) == list(range(10))
    assert torch.equal(torch.cat(chunks), draw_order(10, seed=0, epoch=1))
    assert (count_batches(10, 4), count_batches(10, 5), count_batches(10, "full")) == (3, 2, 1)


def test_order_depends_only_on_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = draw_order(100, seed=0, epoch=1)
    torch.manual_seed(2)
    assert torch.equal(first, draw_order(100, seed=0, epoch=1))
    orders = {tuple(draw_order(100, seed, epoch).tolist()) for seed in (0, 1, 2**31) for epoch in (1, 2, 3)}
    assert len(orders) == 9


def test_full_batch_uses_the_stored_order() -> None:
    assert list(draw_chunks(SPLIT, "full", batches=1, seed=0, epoch=1)) == [None]


def test_chunk_size_is_limited_so_that_training_can_be_interrupted() -> None:
    images = Split(torch.empty(1000, 784), torch.empty(1000))
    assert [batches_per_chunk(images, n, 235_000, CPU) for n in (10, 64, 512, "full")] == [64, 55, 6, 3]
    assert [batches_per_chunk(images, n, 235_000, CUDA) for n in (64, 512, "full")] == [64, 64, 32]
    assert batches_per_chunk(SPLIT, 2, 100_000_000_000, CPU) == 1
    assert batches_per_chunk(SPLIT, 2**12, 1, CPU) == 8


def test_gathered_batches_fit_into_the_cache() -> None:
    images = Split(torch.empty(1000, 784), torch.empty(1000))
    assert [batches_per_gather(images, n, CPU) for n in (64, 512, "full")] == [10, 1, 1]
    assert [batches_per_gather(images, n, CUDA) for n in (64, 512, "full")] == [167, 20, 10]
