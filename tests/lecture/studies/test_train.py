"""Paired training: variants share data, initial parameters and order, and each has a tuned learning rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from dlcli.config.load import load_config
from dlcli.errors import Interrupted
from dlcli.lecture.studies import trainer
from dlcli.lecture.studies.answers import answer_seconds
from dlcli.lecture.studies.plan import Plan
from dlcli.lecture.studies.results import StudyResults, Training
from dlcli.lecture.studies.sentences import write_method
from dlcli.lecture.studies.study import BaseConfig, Study, Variant
from dlcli.lecture.studies.train import PairedTraining
from dlcli.lecture.studies.trainer import StudyListeners
from dlcli.training.together.members import Group, Member
from dlcli.training.together.workers import open_group

SMALL = (
    "data.val_fraction=0.2",
    "model.hidden_sizes=[8]",
    "optimizer={name: sgd}",
    "scheduler=null",
    "training.epochs=2",
)


def make_plan(*variants: Variant, lrs: tuple[float, ...] = (), seeds: tuple[int, ...] = (1, 2)) -> Plan:
    study = Study(
        "s", "?", "", {"digits": BaseConfig("digits", SMALL, 0.5)}, variants, variants[0].label, lambda _: [], lrs
    )
    configs = {variant.label: load_config("digits", [*SMALL, *variant.settings]).config for variant in variants}
    return Plan(study, "digits", 0.5, (), configs, lrs, 0, seeds)


def run(plan: Plan, **listeners: Callable[..., object]) -> StudyResults:
    return PairedTraining(plan, StudyListeners(**listeners)).run()  # type: ignore[arg-type]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[Member]]:
    """Return the groups that are opened, with their models before training.

    They train copies, as worker processes do: the study's models stay as they were.
    """
    opened: list[list[Member]] = []

    def watch(members: Sequence[Member]) -> Group:
        opened.append([replace(member, model=deepcopy(member.model)) for member in members])
        return open_group([replace(member, model=deepcopy(member.model)) for member in members])

    monkeypatch.setattr(trainer, "open_group", watch)
    return opened


def test_variants_of_a_seed_share_splits_and_initial_parameters(groups: list[list[Member]]) -> None:
    run(make_plan(Variant("ce", ("loss.name=cross_entropy",)), Variant("se", ("loss.name=mse",))))
    (members,) = groups
    assert [member.config.seed for member in members] == [1, 1, 2, 2]
    before = [torch.cat([p.detach().flatten() for p in member.model.parameters()]) for member in members]
    for a, b in ((0, 1), (2, 3)):
        assert torch.equal(before[a], before[b])
        assert members[a].splits.train.stored is members[b].splits.train.stored
        assert members[a].splits.val.targets is members[b].splits.val.targets
    assert not torch.equal(before[0], before[2])
    assert not torch.equal(members[0].splits.val.inputs, members[2].splits.val.inputs)
    assert torch.equal(members[0].splits.test.targets, members[2].splits.test.targets)


LINEAR = ("model.activation=identity", "model.hidden_sizes=[8, 8]")
MIXED = (  # one diverges, one stops early, one has its own splits
    Variant("tame", LINEAR),
    Variant("wild", (*LINEAR, "optimizer.lr=1e6")),
    Variant("patient", ("early_stopping={patience: 1}", "optimizer.lr=30")),
    Variant("dropout", ("model.dropout=0.3", "data.normalize=unit")),
)


def without_times(results: StudyResults) -> list[Training]:
    return [replace(training, seconds=()) for variant in results.variants for training in variant.trainings]


def test_trainings_together_give_the_same_bits_as_one_by_one_in_groups_of_any_size(
    groups: list[list[Member]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan_with(*settings: str) -> Plan:
        return make_plan(*(replace(part, settings=(*part.settings, "training.epochs=4", *settings)) for part in MIXED))

    plan, alone = plan_with(), run(plan_with("training.together=never"))
    assert groups == []
    assert [variant.diverged for variant in alone.variants] == [0, 2, 0, 0]
    assert alone.stopped_early
    assert without_times(run(plan)) == without_times(alone)
    assert [len(members) for members in groups] == [8]
    monkeypatch.setattr(trainer, "_MOST_BYTES", 1)
    assert without_times(run(plan)) == without_times(alone)
    assert [len(members) for members in groups] == [8, *[1] * 8]


def test_a_group_takes_more_seeds_only_if_their_data_fits(
    groups: list[list[Member]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_COPIES", 0)
    monkeypatch.setattr(trainer, "_MOST_BYTES", 10**6)  # the images of one seed take 460 kB
    run(make_plan(Variant("ce", ("loss.name=cross_entropy",)), Variant("se", ("loss.name=mse",)), seeds=(1, 2, 3)))
    assert [[member.config.seed for member in members] for members in groups] == [[1, 1, 2, 2], [3, 3]]


def test_only_studies_that_compare_times_have_times_and_train_one_by_one(groups: list[list[Member]]) -> None:
    variants = Variant("8", ("training.batch_size=64",)), Variant("32", ("training.batch_size=256",))
    plan = make_plan(*variants, lrs=(0.1, 0.2))
    timed = replace(plan, study=replace(plan.study, compares_times=True, answer=answer_seconds))
    results = run(timed)
    assert [len(members) for members in groups] == [4], "the learning rates are tried together"
    assert all(len(run.seconds) == len(run.curve) for variant in results.variants for run in variant.trainings)
    assert "one after the other" in write_method(results)
    untimed = run(replace(plan, study=replace(plan.study, answer=answer_seconds)))
    assert [len(members) for members in groups] == [4, 4, 4]
    assert without_times(untimed) == without_times(results)
    assert all(variant.seconds is None for variant in untimed.variants)
    assert answer_seconds(untimed) == []
    assert "together, so there are no times" in write_method(untimed)


def test_equal_variants_have_equal_results_that_match_a_run_of_the_same_config() -> None:
    import dlcli

    results = run(make_plan(Variant("one", ("training.batch_size=64",)), Variant("two", ("training.batch_size=64",))))
    first, second = results.variants
    assert [t.curve for t in first.trainings] == [t.curve for t in second.trainings]
    assert results.compare_test(second).verdict == "same"
    last = first.trainings[0]
    trained = dlcli.train(dlcli.load_config("digits", [*SMALL, "seed=1"]))
    evaluated = dlcli.evaluate(trained.run, checkpoint="last")
    assert last.test == pytest.approx(
        evaluated.metrics["accuracy"], abs=0.004
    )  # one example of 359, since thread counts may differ
    assert len(last.curve) == 2


def test_learning_rates_are_tuned_per_variant_with_a_separate_seed() -> None:
    lines: list[str] = []
    plan = make_plan(Variant("a", ("loss.name=cross_entropy",)), Variant("b", ("loss.name=mse",)), lrs=(1e-4, 1.0))
    results = run(plan, tell=lines.append)
    for variant in results.variants:
        assert set(variant.tried) == {1e-4, 1.0}
        assert variant.lr == 1.0
        assert variant.tried[1.0] > variant.tried[1e-4]  # type: ignore[operator]
        assert variant.config["optimizer.lr"] == 1.0
    assert plan.tuning_seed not in [t.seed for variant in results.variants for t in variant.trainings]
    assert len(lines) == 4
    assert "lr 1 is the best of 0.0001, 1" in lines[0]


def test_diverging_learning_rates_are_not_chosen_and_divergence_is_reported() -> None:
    plan = make_plan(Variant("linear", LINEAR), lrs=(1e6, 0.01))
    (chosen,) = run(plan).variants
    assert (chosen.tried[1e6], chosen.lr) == (None, 0.01)
    wild = make_plan(*MIXED[:2])
    results = run(wild)
    tame, diverged = results.variants
    assert (tame.diverged, diverged.diverged) == (0, 2)
    assert diverged.test is None
    assert diverged.trainings[0].test is None
    assert "training diverged" in str(diverged.trainings[0].diverged)
    assert results.compare_test(diverged).verdict is None


def test_progress_reaches_its_total_and_a_signal_stops_the_study() -> None:
    progress: list[tuple[int, int]] = []
    plan = make_plan(*MIXED[:2], lrs=(0.01,))
    run(plan, advance=lambda activity, done, total: progress.append((done, total)))
    assert progress[-1] == (12, 12)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    for polls in (0, 6):  # while the models are built, and while they are trained
        polled = itertools.count()
        with pytest.raises(Interrupted) as caught:
            run(plan, should_stop=lambda: 2 if next(polled) >= polls else None)  # noqa: B023
        assert caught.value.exit_code == 130
