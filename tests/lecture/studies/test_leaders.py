"""Leading variants of a study: what is said of clear, small, uncertain and failing differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from studies.made_up import make_results

from dlcli.config.load import load_config
from dlcli.experiment import build_experiment
from dlcli.lecture.studies.headline import write_conclusions, write_short, write_title
from dlcli.lecture.studies.leaders import leaders
from dlcli.lecture.studies.measures import score_by_chance
from dlcli.lecture.studies.results import StudyResults

LABELS = ("α=0.001", "α=0.01", "α=0.1", "α=1", "α=10", "α=100")


def make(ends: Sequence[Sequence[float]], own: str = "") -> StudyResults:
    """Return results of a learning-rate study with these final accuracies, by variant and seed; chance is 0.1."""
    curves = {label: [[0.1, end] for end in by_seed] for label, by_seed in zip(LABELS, ends, strict=False)}
    rest = dict.fromkeys(LABELS[len(ends) :], [None] * len(ends[0]))
    tests = {label: [0.9] * len(ends[0]) for label in LABELS}
    results = make_results("learning-rate", {**curves, **rest}, tests, level=None)  # type: ignore[arg-type]
    return dataclasses.replace(results, study=dataclasses.replace(results.study, own=own, lecture=""))


def lead(ends: Sequence[Sequence[float]], own: str = "") -> list[str]:
    return [variant.label for variant in leaders(make(ends, own))]


@pytest.mark.parametrize(
    ("first", "second", "is_single"),
    [
        ((0.93, 0.93), (0.90, 0.90), True),  # both seeds agree
        ((0.93, 0.90), (0.90, 0.91), False),
        ((0.91, 0.91), (0.90, 0.90), False),  # a single one of 100 examples
        ((0.91, 0.91, 0.91), (0.90, 0.90, 0.90), False),  # even with standard deviation 0
        ((0.93, 0.93, 0.93), (0.90, 0.90, 0.90), True),
        ((0.99, 0.91, 0.91), (0.90, 0.90, 0.90), False),  # not significant
    ],
)
def test_a_variant_leads_alone_if_the_difference_is_more_than_chance(
    first: Sequence[float], second: Sequence[float], *, is_single: bool
) -> None:
    assert lead([first, second]) == (["α=0.001"] if is_single else ["α=0.001", "α=0.01"])


def test_only_three_seeds_make_a_difference_clear() -> None:
    assert "clear" not in write_conclusions(make([(0.93, 0.94), (0.90, 0.90)]))
    assert "better in both seeds than α=0.01" in write_conclusions(make([(0.93, 0.94), (0.90, 0.90)]))
    assert "is clearly better than α=0.01" in write_conclusions(make([(0.93, 0.94, 0.93), (0.90, 0.90, 0.90)]))


def test_a_title_names_all_variants_that_lead() -> None:
    results = make([(0.9, 0.91)] * 5)
    assert write_title(results) == "No clear winner: validation accuracy 0.905 with α=0.001, 0.01, 0.1, 1 and 10"


def test_of_equal_variants_the_users_config_comes_first() -> None:
    ends = [(0.95, 0.95), (0.94, 0.95), (0.5, 0.5)]
    assert lead(ends) == ["α=0.001", "α=0.01"]
    assert lead(ends, own="α=0.01") == ["α=0.01", "α=0.001"]
    assert lead(ends, own="α=0.1") == ["α=0.001", "α=0.01"]


def test_a_variant_that_fails_in_some_seeds_does_not_lead_and_is_named() -> None:
    results = make([(0.99, 0.12, 0.11), (0.97, 0.98, 0.97), (0.3, 0.98, 0.98), (0.1, 0.1, 0.1), (0.1, 0.1, 0.1)])
    assert [variant.label for variant in leaders(results)] == ["α=0.01"]
    text = write_short(results)
    assert "α=0.001 stays at chance in 2 of 3 seeds (validation accuracy 0.110 to 0.120)" in text
    assert "α=0.1 is far worse in 1 of 3 seeds (validation accuracy 0.300)" in text
    assert "α=1 and 10 stay at chance in 3 of 3 seeds (validation accuracy 0.100)" in text


@pytest.mark.parametrize(("preset", "metric"), [("digits", "accuracy"), ("diabetes", "rmse")])
def test_the_score_by_chance_is_that_of_a_constant(preset: str, metric: str) -> None:
    experiment = build_experiment(load_config(preset).config)
    splits, before = experiment.splits, [parameter.clone() for parameter in experiment.model.parameters()]
    score = score_by_chance(experiment.model, experiment.task, splits, metric)
    train, val = splits.train.targets.numpy(), splits.val.targets.numpy()
    if metric == "accuracy":
        expected = (val == np.bincount(train).argmax()).mean()
    else:
        scaled = torch.cat([splits.train.targets, splits.val.targets, splits.test.targets]).numpy()
        unit = load_diabetes().target.std() / scaled.std()
        expected = unit * np.sqrt(((val - train.mean(0)) ** 2).mean())
    assert score == pytest.approx(expected, rel=1e-5)
    for old, new in zip(before, experiment.model.parameters(), strict=True):
        assert torch.equal(old, new)
