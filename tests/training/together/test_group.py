"""Groups train each model to the bits that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.data.shared_split import SharedSplit
from dlcli.experiment import build_experiments
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Diverged, EpochEnded, Member
from dlcli.training.together.plan import place
from tests.training.together.trainings import (
    Result,
    add_snapshots,
    assert_equal,
    describe,
    member,
    seeds,
    train_alone,
    train_group,
    train_members,
)

ODD = ("model.hidden_sizes=[33]", "training.batch_size=20")  # vectors end in scalar instructions
SETTINGS = {  # the promise holds for each of these
    "plain": (*ODD, "optimizer.momentum=0"),
    "weight decay": (*ODD, "optimizer.momentum=0", "optimizer.weight_decay=0.01"),
    "nesterov": (*ODD, "optimizer.momentum=0.9", "optimizer.nesterov=true", "optimizer.weight_decay=0.001"),
    "adam": (*ODD, "optimizer.name=adam", "optimizer.lr=0.01", "optimizer.weight_decay=0.01"),
    "adamw": (*ODD, "optimizer.name=adamw", "optimizer.lr=0.01", "optimizer.weight_decay=0.1"),
    "rmsprop": (*ODD, "optimizer={name: rmsprop, lr: 0.01, weight_decay: 0.1, momentum: 0.5}"),
    "dropout": (*ODD, "model.dropout=0.3"),
    "clipping": (*ODD, "training.gradient_clip_norm=0.1"),
    "two layers": ("model.hidden_sizes=[17, 33]", "model.activation=silu", "training.batch_size=50"),
    "gelu": (*ODD, "model.activation=gelu"),
    "softplus": ("model.hidden_sizes=[9]", "model.activation=softplus", "training.batch_size=7"),
    "linear": ("model.hidden_sizes=[]", "training.batch_size=13"),
    "one unit": ("model.hidden_sizes=[1]", "model.activation=tanh", "training.batch_size=33"),
    "full batch": ("model.hidden_sizes=[5]", "training.batch_size=full", "training.epochs=8"),
    "float64": (*ODD, "training.precision=float64"),
    "plateau": (*ODD, "scheduler={name: plateau, patience: 1}"),
}
NO_VAL = ("data.val_fraction=0",)
LOSSES = {
    "digits": ("loss.name=mse", "loss.label_smoothing=0.1", "loss.class_weights=balanced", "model.head=l1"),
    "diabetes": ("loss.name=l1", "loss={name: huber, delta: 0.5}"),
}


@pytest.mark.parametrize("data", ["digits", "diabetes", "moons", "sine_regression"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_group_has_the_bits_of_its_models_alone(data: str, name: str) -> None:
    check(seeds(data, 3, *SETTINGS[name]))


@pytest.mark.parametrize(("data", "loss"), [(data, loss) for data, losses in LOSSES.items() for loss in losses])
def test_losses_have_the_bits_of_models_alone(data: str, loss: str) -> None:
    check(seeds(data, 3, *ODD, loss))


@pytest.mark.long
@pytest.mark.parametrize("data", ["digits", "diabetes", "moons", "sine_regression"])
@pytest.mark.parametrize("name", SETTINGS)
def test_ten_seeds_have_the_bits_of_their_models_alone(data: str, name: str) -> None:
    check(seeds(data, 10, *SETTINGS[name]))


def check(configs: Sequence[Config]) -> None:
    assert all(place(member(config)).kind for config in configs), "models that are not stacked prove nothing"
    for actual, expected in zip(train_group(configs), map(train_alone, configs), strict=True):
        assert_equal(actual, expected)


@pytest.mark.parametrize("data", ["digits", "diabetes"])
@pytest.mark.parametrize("settings", [(), ("training.batch_size=full",), ("data.val_fraction=0",)])
def test_models_that_share_one_copy_of_the_data_have_the_bits_of_models_alone(
    data: str, settings: tuple[str, ...]
) -> None:
    monitors = ("checkpoint.monitor=train/loss", "early_stopping.monitor=train/loss") if settings[-1:] == NO_VAL else ()
    configs = seeds(data, 3, *ODD, *settings, *monitors)
    experiments = build_experiments(configs[0], [config.seed for config in configs])
    splits = [experiment.splits.train for experiment in experiments]
    assert all(isinstance(split, SharedSplit) and split.whole is splits[0].storage for split in splits)
    members = [Member(part.model, part.task, part.splits, part.config) for part in experiments]
    for actual, expected in zip(train_members(members), map(train_alone, configs), strict=True):
        assert_equal(actual, expected)


def test_members_may_differ_in_everything() -> None:
    varied = (
        (),
        ("optimizer.lr=0.01",),
        ("optimizer.momentum=0",),
        ("optimizer.momentum=0.5", "optimizer.weight_decay=0.1"),
        ("optimizer.name=adam", "optimizer.lr=0.01"),
        ("optimizer={name: adam, lr: 0.01, betas: [0.8, 0.9], eps: 1e-3}",),
        ("model.dropout=0.1",),
        ("model.dropout=0.4",),
        ("model.init=zeros",),
        ("loss.label_smoothing=0.2",),
        ("loss.class_weights=balanced",),
        ("training.gradient_clip_norm=0.5",),
        ("scheduler.name=exponential",),
        ("early_stopping.patience=1",),
        ("training.epochs=5",),
        ("model.hidden_sizes=[17]",),
        ("model.hidden_sizes=[33]",),
        ("model.hidden_sizes=[64]",),
        ("model.batch_norm=true",),  # trains with autograd
        ("training.batch_size=50",),
        ("model.hidden_sizes=[600]", "training.batch_size=100"),  # takes two threads alone, if there are two
    )
    configs = [load_config("digits", ["training.epochs=3", *ODD, *settings]).config for settings in varied]
    for actual, expected in zip(train_group(configs), map(train_alone, configs), strict=True):
        assert_equal(actual, expected)


def test_a_model_does_not_depend_on_its_group() -> None:
    configs = seeds("digits", 64, "training.epochs=1", *ODD)
    expected = train_alone(configs[0])
    for size in (1, 7, 64):
        for position in {0, size - 1}:
            others = configs[1:size]
            group = [*others[:position], configs[0], *others[position:]]
            assert_equal(train_group(group)[position], expected)


def test_divergence_and_early_stopping_leave_the_others_unchanged() -> None:
    ends = ("early_stopping.patience=1", "training.epochs=12")
    configs = [
        load_config("digits", [*ODD, *ends, "model.activation=relu", f"optimizer.lr={lr}", f"seed={seed}"]).config
        for seed, lr in enumerate(("0.1", "1e12", "0.3", "1e12", "0.5", "0.2"))
    ]
    results = train_group(configs)
    for actual, config in zip(results, configs, strict=True):
        assert_equal(actual, train_alone(config))
    assert [result.state is None for result in results] == [False, True, False, True, False, False]
    assert len({len(result.events) for result in results}) > 2, "they end after different epochs"


def test_a_group_resumes_from_snapshots_at_any_time() -> None:
    settings = ("training.batch_size=4", "model.hidden_sizes=[9]", "model.dropout=0.2", "optimizer.name=adam")
    configs = seeds("digits", 3, *settings, "optimizer.lr=0.01")
    expected = train_group(configs)
    for stop_after in (1, 3, 8):  # rounds; an epoch has several
        results = [Result([]) for _ in configs]
        members = [member(config) for config in configs]
        for rounds in (stop_after, 10**6):
            with LocalGroup(members) as group:
                for count, events in enumerate(group, 1):
                    for number, event in events:
                        results[number].events.append(describe(event))
                    if count == rounds:
                        break
                more, snapshots = group.snapshots()
                assert not more
                add_snapshots(results, snapshots)
            members = [member(config, result.state) for config, result in zip(configs, results, strict=True)]
        for actual, whole in zip(results, expected, strict=True):
            assert_equal(actual, whole)


def test_snapshots_hold_what_has_changed_and_report_divergence() -> None:
    configs = seeds("digits", 2, *ODD)
    with LocalGroup([member(config) for config in configs]) as group:
        assert group.snapshots() == ([], [])
        iterator = iter(group)
        while not (events := next(iterator)):
            pass
        assert all(isinstance(event, EpochEnded) for _, event in events)
        _, snapshots = group.snapshots()
        assert [(part.number, part.best is not None) for part in snapshots] == [(0, True), (1, True)]
        assert group.snapshots() == ([], [])
        group._active[0].fit.step.layers[0].memory.fill_(float("inf"))  # type: ignore[attr-defined]
        (event,), _ = group.snapshots()
        assert event[0] == 0
        assert isinstance(event[1], Diverged)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ((), ""),
        (("model.batch_norm=true",), "autograd"),
        (("training.threads=2",), "2 threads"),
        (("training.step=eager",), "autograd"),
    ],
)
def test_plan_says_why_a_model_is_not_stacked(settings: tuple[str, ...], reason: str) -> None:
    placement = place(member(seeds("digits", 1, *settings)[0]))
    assert (placement.kind is None) == bool(reason)
    assert reason in placement.reason
    assert placement.fits_worker == ("threads" not in reason)
    resumed = replace(member(seeds("digits", 1)[0]), state=train_alone(seeds("digits", 1)[0]).state)
    assert place(resumed).kind != placement.kind, "models at different positions are not stacked"
