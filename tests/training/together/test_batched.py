"""Stacks with batched products, as on a GPU, train each model as alone up to rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.experiment import build_experiments
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.together import group, plan
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import EpochEnded, Member, MemberEvent
from tests.training.together.test_group import LOSSES, ODD, SETTINGS
from tests.training.together.trainings import Result, add_snapshots, member, seeds, train_alone, train_members

TOLERANCES = {"float64": 1e-11, "float32": 2e-5}  # relative to the largest value of a tensor
BATCHED = {name: settings for name, settings in SETTINGS.items() if name not in ("dropout", "float64")} | {
    "l1 head": (*ODD, "model.head=l1"),
    "tanh, clipped adamw": (*ODD, "model.activation=tanh", "training.gradient_clip_norm=0.5", *SETTINGS["adamw"][2:]),
}


@pytest.fixture(autouse=True)
def stacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stack models on the CPU as on a GPU; return the sizes of the stacks."""
    sizes: list[int] = []

    class Counted(BatchedStack):
        def __init__(self, steps, optimizer, taken) -> None:  # type: ignore[no-untyped-def]
            sizes.append(len(steps))
            super().__init__(steps, optimizer, taken)

    monkeypatch.setattr(plan, "computes_batches", lambda _: True)
    monkeypatch.setattr(group, "BatchedStack", Counted)
    yield sizes
    assert sizes, "models that are not stacked prove nothing"


def check(configs: Sequence[Config], members: Sequence[Member] | None = None) -> list[Result]:
    """Check that a group agrees with its models alone; return its results."""
    results = train_members(members or [member(config) for config in configs])
    for result, config in zip(results, configs, strict=True):
        assert_close(result, train_alone(config), TOLERANCES[config.training.precision])
    return results


def assert_close(actual: Result, expected: Result, tolerance: float) -> None:
    assert (actual.state is None) == (expected.state is None)
    assert len(actual.events) == len(expected.events)
    if actual.state is None or expected.state is None:
        return
    assert actual.state.position == expected.state.position
    for name in ("parameters", "optimizer"):
        pair = getattr(actual.state, name), getattr(expected.state, name)
        assert pair[0].keys() == pair[1].keys()
        for key, value in pair[1].items():
            assert_near(pair[0][key], value, tolerance, key)


def assert_near(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    error = float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
    assert error <= tolerance, f"{name}: {error}"


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("data", ["digits", "sine_regression"])
@pytest.mark.parametrize("name", BATCHED)
def test_a_batched_stack_agrees_with_its_models_alone(data: str, name: str, precision: str, stacks: list[int]) -> None:
    if name == "l1 head" and data != "digits":
        pytest.skip("the L1 head is for classification")
    check(seeds(data, 3, *BATCHED[name], "training.epochs=5", f"training.precision={precision}"))
    assert stacks == [3]
