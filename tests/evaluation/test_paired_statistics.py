"""Paired comparison of two groups of seeds against brute force and simulations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from dlcli.evaluation import paired_statistics
from dlcli.evaluation.paired_statistics import MOST_USEFUL_PAIRS, PairedComparison, compare_pairs, describe_comparison

Numbers = Sequence[float | None]


def by_seed(values: Numbers) -> dict[int, float | None]:
    return dict(enumerate(values))


def compare(first: Numbers, second: Numbers, *, is_higher_better: bool = True) -> PairedComparison:
    return compare_pairs(by_seed(first), by_seed(second), is_higher_better=is_higher_better)


@pytest.mark.parametrize("is_higher_better", [True, False])
def test_wins_and_their_interval_are_those_of_brute_force(is_higher_better: bool) -> None:
    first = [1.0, 2.0, 3.0, None, 5.0, None]
    second = [2.0, 2.0, 1.0, 4.0, None, None]
    sign = 1 if is_higher_better else -1
    worst = -np.inf

    def score(a: float | None, b: float | None) -> float:
        x, y = (worst if value is None else sign * value for value in (a, b))
        return 0.5 if x == y else float(x > y)

    scores = [score(a, b) for a, b in zip(first, second, strict=True)]
    found = compare(first, second, is_higher_better=is_higher_better)
    assert (found.wins, found.ties, found.losses) == tuple(scores.count(value) for value in (1.0, 0.5, 0.0))
    assert found.p_better == np.mean(scores)
    tail = stats.norm.cdf(-np.sqrt(6 / 5) * stats.t.ppf(0.975, 5))  # of the expanded interval of Hesterberg (2015)
    means = sorted(np.mean(chosen) for chosen in itertools.product(scores, repeat=len(scores)))
    exact = [means[int(share * len(means))] for share in (tail, 1 - tail)]
    assert found.p_interval == pytest.approx(exact, abs=0.5 / len(scores) + 1e-12)  # a step of the distribution
    assert found.difference.values == {0: -1.0, 1: 0.0, 2: 2.0, 3: None, 4: None, 5: None}


def test_only_common_seeds_are_compared() -> None:
    found = compare_pairs({1: 1.0, 2: 5.0, 9: 0.0}, {2: 4.0, 1: 3.0, 7: 0.0}, is_higher_better=True)
    assert (found.pairs, found.difference.values) == (2, {1: -2.0, 2: 1.0})


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10, 20, 29])
def test_equal_methods_are_rarely_called_better_in_2_000_comparisons(n: int) -> None:
    for is_tied in (False, True):
        sets = np.random.default_rng(0).normal(size=(2000, 2, n))
        sets = sets.round() if is_tied else sets
        verdicts = [compare(a, b).verdict for a, b in sets.tolist()]
        most = 0.07 if is_tied and n == 6 else 0.06  # six coarse values often agree by chance
        assert sum(verdict in ("first", "second") for verdict in verdicts) <= most * len(sets), is_tied


def test_a_verdict_needs_six_pairs_and_the_interval() -> None:
    def judge(wins: int, losses: int) -> str:
        return compare([1.0] * wins + [0.0] * losses, [0.0] * wins + [1.0] * losses).verdict

    assert [judge(5, 0), judge(6, 0), judge(0, 6), judge(9, 1), judge(6, 4), judge(70, 30)] == [
        *("too few", "first", "second", "first", "unclear", "unclear")
    ]
    same = compare([1.0] * 10, [1.0] * 10)
    assert (same.verdict, same.p_better, same.p_interval, same.difference.interval) == (
        *("unclear", 0.5, (0.5, 0.5), (0.0, 0.0)),
    )


def test_a_diverged_seed_is_lost() -> None:
    found = compare([1.0] * 8 + [None, None], [0.0] * 8 + [0.0, None])
    assert (found.wins, found.ties, found.losses) == (8, 1, 1)
    assert (found.difference.n, found.difference.diverged) == (8, 2)


def test_the_number_of_seeds_is_that_of_noether() -> None:
    errors = stats.norm.ppf(0.95) - stats.norm.ppf(0.05)
    assert np.ceil((errors / (np.sqrt(6) * (0.5 - 0.75))) ** 2) == MOST_USEFUL_PAIRS


def test_sentences_name_the_better_group() -> None:
    def describe(first: Numbers, second: Numbers) -> str:
        return describe_comparison(compare(first, second, is_higher_better=False), "a", "b")

    assert describe([1.0] * 8, [0.0] * 8) == ("b is better: P(b better than a) is 1.00, 95 % interval 1.00 to 1.00")
    assert describe([1.0, 0.0] * 4, [0.0, 1.0] * 4) == (
        "no clear difference: P(a better than b) is 0.50, 95 % interval 0.12 to 0.88; 29 seeds tell a P of 0.75 from "
        "0.5 with 5 % errors of both kinds"
    )
    assert describe([1.0, 0.0] * 20, [0.0, 1.0] * 20).endswith("; a P below 0.75 rarely matters")
    assert describe([1.0], [0.0]) == "no verdict from 1 seed in common: train both with at least 6"


def test_the_order_of_two_groups_changes_no_verdict_and_no_interval() -> None:
    for wins, ties, losses in itertools.product(range(12), range(4), range(12)):
        if wins + ties + losses:
            low, high = paired_statistics._bootstrap(wins, ties, losses)
            mirrored = paired_statistics._bootstrap(losses, ties, wins)
            assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)
