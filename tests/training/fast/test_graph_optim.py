from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.config.schema import AnyOptimizer
from dlcli.training.fast.graph_optim import build_fused_optimizer
from dlcli.training.optim import Optimizer, build_optimizer

STEPS = 6
SETTINGS = [
    "{name: sgd}",
    "{name: sgd, weight_decay: 0.1}",
    "{name: sgd, momentum: 0.9}",
    "{name: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.1}",
    "{name: adam, weight_decay: 0.1}",
    "{name: adamw, weight_decay: 0.1, betas: [0.8, 0.9]}",
    "{name: rmsprop, weight_decay: 0.1}",
    "{name: rmsprop, alpha: 0.9, momentum: 0.9}",
]


def read(setting: str) -> AnyOptimizer:
    return load_config("digits", [f"optimizer={setting}"]).config.optimizer


def parameters() -> list[Tensor]:
    return [torch.linspace(-1, 1, 6).view(2, 3), torch.ones(1)]


def take(optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        gradients = [torch.linspace(step, -1, 6).view(2, 3), torch.full((1,), 0.5 - step)]
        optimizer.step(gradients, 0.1 / step)


@pytest.mark.parametrize("setting", SETTINGS)
def test_kernels_agree_with_the_reference_optimizers(setting: str) -> None:
    fused_parameters, expected = parameters(), parameters()
    fused, written_out = (
        build_fused_optimizer(fused_parameters, read(setting)),
        build_optimizer(expected, read(setting)),
    )
    assert fused is not None, "torch has changed: steps on CUDA are not captured any more"
    take(fused, range(1, STEPS))
    take(written_out, range(1, STEPS))
    kept = written_out.state()
    for name, memory in fused.state().items():
        torch.testing.assert_close(memory, kept[name])
    torch.testing.assert_close(fused_parameters, expected)


@pytest.mark.parametrize("setting", SETTINGS)
def test_load_state_copies_in_place_and_continues(setting: str) -> None:
    expected = parameters()
    written_out = build_optimizer(expected, read(setting))
    take(written_out, range(1, 3))
    own = [one.clone() for one in expected]
    fused = build_fused_optimizer(own, read(setting))
    assert fused is not None
    before = fused.buffers
    fused.load_state({name: [one.clone() for one in kept] for name, kept in written_out.state().items()}, steps=2)
    assert all(map(torch.equal, fused.buffers, before))
    take(fused, range(3, STEPS))
    take(written_out, range(3, STEPS))
    torch.testing.assert_close(own, expected)


def test_load_state_accepts_an_empty_state() -> None:
    fused = build_fused_optimizer(parameters(), read("{name: sgd, momentum: 0.9}"))
    assert fused is not None
    fused.load_state({}, steps=0)
    assert all(one.eq(0).all() for one in fused.state()["velocity"])


def test_changed_kernels_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read("{name: sgd}")
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *_, **__: None)
    assert build_fused_optimizer(parameters(), config) is None
    monkeypatch.delattr(torch, "_fused_sgd_")
    assert build_fused_optimizer(parameters(), config) is None
