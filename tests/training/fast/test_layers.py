"""Layers as matrices in memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from dlcli.config.schema import AdamWOptimizer, CrossEntropyLoss
from dlcli.task import Classification
from dlcli.training.fast.backprop import Batch, Propagation, read_layers
from dlcli.training.fast.layers import Layer, choose_layout, with_ones_column
from dlcli.training.optim import build_optimizer


def linears(*sizes: int) -> list[nn.Linear]:
    return [nn.Linear(*pair) for pair in pairwise(sizes)]


@pytest.mark.parametrize("unit_major", [True, False])
@pytest.mark.parametrize("sizes", [(3, 1), (7, 10), (300, 300)], ids=str)
def test_unpack_inverts_pack(sizes: tuple[int, int], unit_major: bool) -> None:
    linear = nn.Linear(*sizes)
    layer = Layer(linear, unit_major)
    expected = [parameter.detach().clone() for parameter in linear.parameters()]
    parted = [part.clone() for part in layer.unpack(layer.memory)]
    with torch.no_grad():
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        layer.update_model()
    for one, other, there in zip(expected, parted, linear.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, there)


@pytest.mark.parametrize("n", [64, 512])
def test_the_larger_dimension_is_contiguous(n: int) -> None:
    assert choose_layout(linears(784, 256, 128, 10), n) == [n < 256, n < 256, True]


def test_small_layers_and_few_hidden_units_are_example_major() -> None:
    assert choose_layout(linears(1, 64, 64, 1), 32) == [False, False, True]
    assert choose_layout(linears(784, 256, 10, 10), 64) == [True, False, True]
    assert choose_layout(linears(784, 10), 64) == [True]


def test_padding_units_stay_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 20), nn.Sigmoid(), nn.Linear(20, 10))
    layers, n = read_layers(model, 8), 8
    top = layers[-1]
    assert top.padding_units == 2
    optimizer = build_optimizer([layer.memory for layer in layers], AdamWOptimizer(name="adamw", weight_decay=0.1))
    inputs, outputs = with_ones_column(n, 5, dtype=torch.float32, device=torch.device("cpu")), top.outputs(n)
    inputs[:, :-1].normal_()
    gradients = [layer.keep_gradient() for layer in layers]
    propagation = Propagation(layers, Classification(CrossEntropyLoss(name="cross_entropy"), 10).loss_gradient, n)
    for _ in range(5):
        propagation(Batch(inputs, torch.randint(10, (n,)), outputs), 1.0, 1.0)
        optimizer.step(gradients, 0.1)
    assert top.weight.abs().sum(0).count_nonzero() == 10
    assert outputs.abs().sum(0).count_nonzero() == 10
