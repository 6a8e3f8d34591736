"""Paired training: variants share data, initial parameters and order, and each has a tuned learning rate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dlcli.config.load import load_config
from dlcli.data.splits import Splits
from dlcli.errors import Interrupted
from dlcli.lecture.studies import train as paired_training
from dlcli.lecture.studies.plan import Plan
from dlcli.lecture.studies.results import StudyResults
from dlcli.lecture.studies.study import BaseConfig, Study, Variant
from dlcli.lecture.studies.train import PairedTraining, StudyListeners
from dlcli.training import batches

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


def test_variants_of_a_seed_share_splits_initial_parameters_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, torch.Tensor, Splits]] = []
    orders: list[tuple[int, int]] = []
    fit, draw = paired_training.Fit, batches.draw_order

    def watch_fit(model: torch.nn.Module, task: object, splits: Splits, config: object) -> object:
        seen.append((config.seed, torch.cat([p.detach().flatten() for p in model.parameters()]), splits))  # type: ignore[attr-defined]
        return fit(model, task, splits, config)  # type: ignore[arg-type]

    def watch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
        orders.append((seed, epoch))
        return draw(n, seed, epoch)

    monkeypatch.setattr(paired_training, "Fit", watch_fit)
    monkeypatch.setattr(batches, "draw_order", watch_order)
    run(make_plan(Variant("ce", ("loss.name=cross_entropy",)), Variant("se", ("loss.name=mse",))))
    assert [seed for seed, _, _ in seen] == [1, 1, 2, 2]
    for first, second in (seen[:2], seen[2:]):
        assert torch.equal(first[1], second[1])
        assert torch.equal(first[2].train.inputs, second[2].train.inputs)
        assert torch.equal(first[2].val.targets, second[2].val.targets)
    assert not torch.equal(seen[0][1], seen[2][1])
    assert not torch.equal(seen[0][2].val.inputs, seen[2][2].val.inputs)
    assert torch.equal(seen[0][2].test.targets, seen[2][2].test.targets)
    assert orders == [(seed, epoch) for seed in (1, 2) for _ in "ab" for epoch in (1, 2)]


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
    assert len(last.curve) == len(last.seconds) == 2


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
    linear = ("model.activation=identity", "model.hidden_sizes=[8, 8]")
    plan = make_plan(Variant("linear", linear), lrs=(1e6, 0.01))
    (chosen,) = run(plan).variants
    assert (chosen.tried[1e6], chosen.lr) == (None, 0.01)
    wild = make_plan(Variant("tame", linear), Variant("wild", (*linear, "optimizer.lr=1e6")))
    results = run(wild)
    tame, diverged = results.variants
    assert (tame.diverged, diverged.diverged) == (0, 2)
    assert diverged.test is None
    assert diverged.trainings[0].test is None
    assert "training diverged" in str(diverged.trainings[0].diverged)
    assert results.compare_test(diverged).verdict is None


def test_progress_reaches_its_total_and_a_signal_stops_the_study() -> None:
    progress: list[tuple[int, int]] = []
    linear = ("model.activation=identity", "model.hidden_sizes=[8, 8]")
    plan = make_plan(Variant("tame", linear), Variant("wild", (*linear, "optimizer.lr=1e6")), lrs=(0.01,))
    run(plan, advance=lambda activity, done, total: progress.append((done, total)))
    assert progress[-1] == (12, 12)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    with pytest.raises(Interrupted) as caught:
        run(plan, should_stop=lambda: 2)
    assert caught.value.exit_code == 130
