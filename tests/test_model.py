from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dlcli.config.schema import InitName, ModelSection
from dlcli.model import (
    ACTIVATIONS,
    INITIALISATIONS,
    build_mlp,
    count_parameters,
    forward_flops,
    layer_sizes,
    training_flops,
)


def test_no_hidden_layers_gives_the_linear_model() -> None:
    assert [type(layer) for layer in build_mlp(4, 3, ModelSection(hidden_sizes=()), seed=0)] == [nn.Linear]


def test_layers_match_the_config_and_end_with_linear() -> None:
    model = build_mlp(4, 3, ModelSection(hidden_sizes=(8, 5), dropout=0.5), seed=0)
    kinds = [nn.Linear, nn.Sigmoid, nn.Dropout, nn.Linear, nn.Sigmoid, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in model] == kinds
    assert count_parameters(model) == (4 * 8 + 8) + (8 * 5 + 5) + (5 * 3 + 3)


def test_batch_norm_precedes_each_activation_and_is_counted() -> None:
    model = build_mlp(4, 3, ModelSection(hidden_sizes=(8, 5), dropout=0.5, batch_norm=True), seed=0)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.Sigmoid, nn.Dropout]
    assert [type(layer) for layer in model] == [*kinds, *kinds, nn.Linear]
    assert count_parameters(model) == (4 * 8 + 3 * 8) + (8 * 5 + 3 * 5) + (5 * 3 + 3)
    assert [size.parameters for size in layer_sizes(model)] == [4 * 8 + 3 * 8, 8 * 5 + 3 * 5, 5 * 3 + 3]
    statistics = ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert list(model.state_dict())[:8] == ["0.weight", "0.bias", *statistics, "4.weight"]


def test_every_activation_and_initialisation_of_the_schema_exists() -> None:
    assert set(ACTIVATIONS) == set(get_args(ModelSection.model_fields["activation"].annotation))
    assert {"default", *INITIALISATIONS} == set(get_args(InitName))


def test_default_initialisation_is_bit_identical_to_torch() -> None:
    ours = build_mlp(10, 3, ModelSection(hidden_sizes=(7,), init="default"), seed=5)
    torch.manual_seed(5)
    theirs = nn.Sequential(nn.Linear(10, 7), nn.Sigmoid(), nn.Linear(7, 3))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize(
    ("init", "weight_std", "bias_std"),
    [
        ("normal", 1.0, 1.0),
        ("xavier_uniform", (2 / 700) ** 0.5, 0.0),
        ("xavier_normal", (2 / 700) ** 0.5, 0.0),
        ("kaiming_uniform", (2 / 400) ** 0.5, 0.0),
        ("kaiming_normal", (2 / 400) ** 0.5, 0.0),
        ("zeros", 0.0, 0.0),
    ],
)
def test_initialisations_have_the_published_standard_deviations(init: str, weight_std: float, bias_std: float) -> None:
    first = build_mlp(400, 2, ModelSection(hidden_sizes=(300,), init=init), seed=0)[0]
    assert isinstance(first, nn.Linear)
    assert first.weight.std().item() == pytest.approx(weight_std, rel=0.02)
    assert first.bias.std().item() == pytest.approx(bias_std, rel=0.15)


def test_heaviside_returns_zero_or_one_and_has_zero_gradient() -> None:
    z = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    step = ACTIVATIONS["heaviside"]()(z)
    step.sum().backward()
    assert step.tolist() == [0, 0, 1]
    assert z.grad is not None
    assert z.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("hidden_sizes", [(), (8,), (8, 5), (5, 5, 5)])
def test_parameter_and_flop_counts_match_torch(hidden_sizes: tuple[int, ...]) -> None:
    model = build_mlp(4, 3, ModelSection(hidden_sizes=hidden_sizes), seed=0)
    sizes = layer_sizes(model)
    assert sum(size.parameters for size in sizes) == count_parameters(model)
    inputs = torch.ones(7, 4)
    with FlopCounterMode(display=False) as forward:
        outputs = model(inputs)
    with FlopCounterMode(display=False) as backward:
        outputs.sum().backward()
    assert 7 * forward_flops(sizes) == forward.get_total_flops()
    assert 7 * training_flops(sizes) == forward.get_total_flops() + backward.get_total_flops()
