from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from dlcli.training.fast.activations import ELEMENTWISE, Elementwise

KERNELS = {kind: one for kind, one in ELEMENTWISE.items() if one.kernel is not None}


def applied(activation: Elementwise) -> tuple[Tensor, Tensor]:
    """Return z and h; the z of an activation in place are gone."""
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(40, 30, dtype=torch.float64, generator=generator)
    h = z if activation.in_place else torch.empty_like(z)
    activation.apply(z, h)
    return z, h


@pytest.mark.parametrize("kind", KERNELS)
def test_torch_kernels_agree_with_the_formula(kind: type[nn.Module]) -> None:
    activation = KERNELS[kind]
    assert activation.backward is not activation.formula, f"torch.ops.aten.{activation.kernel} is gone"
    z, h = applied(activation)
    by_kernel = torch.ones_like(z)
    by_formula = by_kernel.clone()
    activation.backward(by_kernel, z, h)
    activation.formula(by_formula, z, h)
    assert not torch.equal(by_kernel, torch.ones_like(z))
    torch.testing.assert_close(by_kernel, by_formula, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [("sigmoid_backward_of_the_past", ()), ("sigmoid_backward", (0.5,)), ("tanh_backward", ())],
    ids=["gone", "with other arguments", "another"],
)
def test_a_changed_kernel_falls_back_to_the_formula(kernel: str, settings: tuple[float, ...]) -> None:
    activation = dataclasses.replace(ELEMENTWISE[nn.Sigmoid], kernel=kernel, settings=settings)
    assert activation.backward is activation.formula
