"""Stacks with batched products, as on a GPU, train each model as alone up to rounding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass

import pytest
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.data.shared_split import SharedSplit
from dlcli.experiment import build_experiments
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fit import Fit
from dlcli.training.together import active_stack, plan
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Member, MemberEvent
from tests.training.together.test_group import LOSSES, NO_VAL, ODD, SETTINGS
from tests.training.together.trainings import Result, add_snapshots, member, seeds, train_alone, train_members

TOLERANCES = {"float64": 1e-11, "float32": 2e-5}  # relative to the largest value of a tensor
SLOW = "optimizer.lr=0.01"  # where larger steps amplify rounding: autograd then differs from written-out steps as much
BATCHED = {
    **{name: SETTINGS[name] for name in ("plain", "weight decay", "nesterov", "adam", "adamw", "rmsprop", "clipping")},
    **{name: SETTINGS[name] for name in ("linear", "full batch", "plateau")},
    **{name: (*SETTINGS[name], SLOW) for name in ("two layers", "gelu", "softplus")},
    "one unit": (*SETTINGS["one unit"], "optimizer.lr=0.003"),
    "no validation": (*ODD, *NO_VAL, "checkpoint.monitor=train/loss", "early_stopping.monitor=train/loss"),
    "clipped adamw": (*ODD, "training.gradient_clip_norm=0.5", "optimizer={name: adamw, lr: 0.003}"),
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
    monkeypatch.setattr(active_stack, "BatchedStack", Counted)
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


@pytest.mark.parametrize(
    ("data", "precision"), [("digits", "float64"), ("digits", "float32"), ("sine_regression", "float64")]
)
@pytest.mark.parametrize("name", BATCHED)
def test_a_batched_stack_agrees_with_its_models_alone(data: str, name: str, precision: str, stacks: list[int]) -> None:
    check(seeds(data, 3, *BATCHED[name], "training.epochs=5", f"training.precision={precision}"))
    assert stacks[0] == 3


@pytest.mark.parametrize(("data", "loss"), [(data, loss) for data, losses in LOSSES.items() for loss in losses])
def test_losses_agree_with_models_alone(data: str, loss: str) -> None:
    check(seeds(data, 3, *ODD, loss, SLOW, "training.epochs=5", "training.precision=float64"))


CALM = ("model.activation=tanh", "training.epochs=5", "training.precision=float64")


def test_measurements_agree_with_models_alone() -> None:
    """Validation and traces: with an activation that saturates, and three classes, whose predictions are recorded."""
    configs = seeds("moons", 3, "data={name: synthetic_classification, pattern: spirals, n_classes: 3}", *CALM)
    for events, config in zip(group_events([member(config) for config in configs]), configs, strict=True):
        part = member(config)
        alone = list(Fit(part.model, part.task, part.splits, config, report_seconds=math.inf))
        for actual, expected in zip(events, alone, strict=True):
            numbers = [list(flatten(event)) for event in (actual, expected)]
            assert len(numbers[0]) > 2
            assert numbers[0] == pytest.approx(numbers[1], rel=1e-9)


def group_events(members: Sequence[Member]) -> list[list[MemberEvent]]:
    events: list[list[MemberEvent]] = [[] for _ in members]
    for number, event in itertools.chain.from_iterable(LocalGroup(members)):
        events[number].append(event)
    return events


def flatten(event: object) -> Iterator[float]:
    """Yield the numbers in an event, apart from times."""
    if isinstance(event, (int, float)):
        yield event
    elif isinstance(event, Mapping):
        for key, value in event.items():
            if key not in ("epoch_seconds", "examples_per_second"):
                yield from flatten(value)
    elif isinstance(event, (tuple, list)):
        for value in event:
            yield from flatten(value)
    elif is_dataclass(event):
        yield from flatten(vars(event))


@pytest.mark.parametrize("data", ["digits", "diabetes"])
@pytest.mark.parametrize("settings", [(), ("training.batch_size=full",)])
def test_models_that_share_one_copy_of_the_data_agree_with_models_alone(data: str, settings: tuple[str, ...]) -> None:
    configs = seeds(data, 3, *ODD, *settings, "training.epochs=5")
    experiments = build_experiments(configs[0], [config.seed for config in configs])
    splits = [experiment.splits.train for experiment in experiments]
    assert all(isinstance(split, SharedSplit) and split.whole is splits[0].storage for split in splits)
    check(configs, [Member(part.model, part.task, part.splits, part.config) for part in experiments])


def test_members_may_differ(stacks: list[int]) -> None:
    varied = (
        (),
        ("optimizer.lr=0.01",),
        ("scheduler.name=exponential",),
        ("loss.label_smoothing=0.2",),
        ("loss.class_weights=balanced",),
        ("training.gradient_clip_norm=0.5",),
        ("early_stopping.patience=1",),
        ("training.epochs=3",),
        ("model.init=kaiming_normal",),
        ("optimizer.momentum=0.5",),  # from here on in another stack
        ("optimizer={name: adam, lr: 0.01}",),
        ("optimizer={name: adam, lr: 0.001}",),
        ("optimizer={name: adamw, lr: 0.01}",),
        ("optimizer={name: adamw, lr: 0.001}",),
        ("optimizer={name: rmsprop, lr: 0.01}",),
        ("optimizer={name: rmsprop, lr: 0.001}",),
        ("loss.name=mse",),
        ("model.hidden_sizes=[17]",),
        ("model.dropout=0.1",),  # alone
    )
    shared = (*ODD, "training.epochs=5", "training.precision=float64")
    check([load_config("digits", [*shared, *settings]).config for settings in varied])
    assert stacks[0] == 9
    assert sorted(stacks)[:5] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_model_agrees_in_groups_of_any_size(size: int, stacks: list[int]) -> None:
    configs = seeds("digits", size, *ODD, "training.epochs=2")
    results = train_members([member(config) for config in configs])
    for place in (0, size // 2, size - 1):
        assert_close(results[place], train_alone(configs[place]), TOLERANCES["float32"])
    assert stacks == [size]


def test_divergence_and_early_stopping_leave_the_others_unchanged(stacks: list[int]) -> None:
    """The stack is packed when half of the models have left; until then, those that diverged compute NaN beside."""
    ends = ("early_stopping.patience=1", "training.epochs=12", "training.precision=float32", "model.activation=relu")
    configs = [
        load_config("digits", [*ODD, *ends, f"optimizer.lr={lr}", f"seed={seed}"]).config
        for seed, lr in enumerate(("0.001", "1e12", "0.01", "1e12", "0.02", "0.005"))
    ]
    results = check(configs)
    assert [result.state is None for result in results] == [False, True, False, True, False, False]
    assert len({len(result.events) for result in results}) > 2, "they end after different epochs"
    assert stacks[0] == 6
    assert all(2 * after <= before for before, after in itertools.pairwise(stacks))


@pytest.mark.parametrize("settings", [("optimizer={name: adam, lr: 0.01}",), ("scheduler.name=plateau",)])
def test_a_group_resumes_from_snapshots_at_any_time(settings: tuple[str, ...], stacks: list[int]) -> None:
    configs = seeds(
        "digits", 3, "training.batch_size=4", "model.hidden_sizes=[9]", "training.precision=float64", SLOW, *settings
    )
    for stop_after in (2, 4, 8):  # rounds; an epoch has several
        results = [Result([]) for _ in configs]
        members = [member(config) for config in configs]
        for rounds in (stop_after, 10**6):
            with LocalGroup(members) as trained:
                for count, events in enumerate(trained, 1):
                    for number, event in events:
                        results[number].events.append(repr(event))
                    if count == rounds:
                        break
                add_snapshots(results, trained.snapshots()[1])
            members = [member(config, result.state) for config, result in zip(configs, results, strict=True)]
        for result, config in zip(results, configs, strict=True):
            assert_close(result, train_alone(config), TOLERANCES["float64"])
    assert stacks == [3] * 6
