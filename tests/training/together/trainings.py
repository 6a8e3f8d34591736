"""Trainings of groups, and the same trainings alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf

import torch

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.errors import DivergedError
from dlcli.experiment import build_experiment
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit
from dlcli.training.state import TrainingState
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import BestModel, Group, Member, MemberEvent, Snapshot

OpenGroup = Callable[[Sequence[Member]], Group]


@dataclass
class Result:
    """Events of a training, without times, its last state and its best parameters."""

    events: list[str]
    state: TrainingState | None = None
    best: BestModel | None = None


def seeds(data: str, n: int, *settings: str) -> list[Config]:
    """Return configs that differ in their seed."""
    config = load_config(data, ["training.epochs=2", "training.precision=float32", *settings]).config
    return [config.model_copy(update={"seed": seed}) for seed in range(n)]


def member(config: Config, state: TrainingState | None = None) -> Member:
    experiment = build_experiment(config)
    return Member(experiment.model, experiment.task, experiment.splits, experiment.config, state)


def train_alone(config: Config) -> Result:
    part, result = member(config), Result([])
    fit = Fit(part.model, part.task, part.splits, part.config, report_seconds=inf)
    try:
        for event in fit:
            result.events.append(describe(event))  # type: ignore[arg-type]
            if isinstance(event, EpochEnded) and event.is_best:
                result.best = BestModel(fit.position, fit.parameters())
        result.state = fit.state()
    except DivergedError as error:
        result.events.append(error.message)
    return result


def train_group(configs: Sequence[Config], open_group: OpenGroup = LocalGroup) -> list[Result]:
    return train_members([member(config) for config in configs], open_group)


def train_members(members: Sequence[Member], open_group: OpenGroup = LocalGroup) -> list[Result]:
    results = [Result([]) for _ in members]
    with open_group(members) as group:
        for events in group:
            for number, event in events:
                results[number].events.append(describe(event))
        events, snapshots = group.snapshots()
        assert not events
        add_snapshots(results, snapshots)
    return results


def add_snapshots(results: Sequence[Result], snapshots: Sequence[Snapshot]) -> None:
    for snapshot in snapshots:
        result = results[snapshot.number]
        result.state, result.best = snapshot.state, snapshot.best or result.best


def describe(event: MemberEvent) -> str:
    if isinstance(event, EpochEnded):
        return repr(replace(event, epoch_seconds=0.0, examples_per_second=0.0))
    return getattr(event, "message", None) or repr(event)


def assert_equal(actual: Result, expected: Result) -> None:
    """Check that two trainings are equal to the last bit."""
    assert actual.events == expected.events
    assert (actual.best is None, actual.state is None) == (expected.best is None, expected.state is None)
    if actual.best and expected.best:
        assert actual.best.position == expected.best.position
        assert_same_tensors(actual.best.parameters, expected.best.parameters)
    if actual.state and expected.state:
        for name in ("parameters", "optimizer", "sums", "generators"):
            assert_same_tensors(getattr(actual.state, name), getattr(expected.state, name))
        for name in ("position", "best", "stopping", "plateau", "arithmetic"):
            assert getattr(actual.state, name) == getattr(expected.state, name)


def assert_same_tensors(actual: object, expected: object) -> None:
    assert isinstance(actual, dict)
    assert isinstance(expected, dict)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name].nan_to_num(), value.nan_to_num()), name
