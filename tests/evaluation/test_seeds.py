"""Statistics of seeds, compared with SciPy, brute force and simulations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from dlcli.evaluation.seeds import MOST_USEFUL_PAIRS, compare_pairs, describe_comparison, measure_spread


def test_the_spread_is_that_of_scipy() -> None:
    draw = np.random.default_rng(0)
    for n in (2, 3, 10, 100):
        values = draw.normal(3, 2, n).tolist()
        spread = measure_spread([*values, None])
        low, high = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
        assert spread.interval == pytest.approx((low, high), rel=1e-12)
        assert (spread.mean, spread.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)), rel=1e-12)
        assert (spread.least, spread.median, spread.most) == (min(values), np.median(values), max(values))
        assert (len(spread.values), spread.diverged) == (n, 1)


def test_few_and_equal_values_have_no_or_no_wide_interval() -> None:
    assert measure_spread([None, None]).mean is None
    assert measure_spread([0.5]).interval is None
    assert measure_spread([0.5, 0.5]).interval == (0.5, 0.5)


@pytest.mark.parametrize("n", [5, 10])
def test_the_interval_covers_the_mean_in_95_percent_of_20_000_sets(n: int) -> None:
    sets = np.random.default_rng(n).normal(1, 3, (20_000, n))
    covered = 0
    for values in sets.tolist():
        low, high = measure_spread(values).interval or (0, 0)
        covered += low <= 1 <= high
    assert 0.94 <= covered / len(sets) <= 0.96


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
    found = compare_pairs(first, second, is_higher_better=is_higher_better)
    assert (found.wins, found.ties, found.losses) == tuple(scores.count(value) for value in (1.0, 0.5, 0.0))
    assert found.p_better == np.mean(scores)
    means = sorted(np.mean(chosen) for chosen in itertools.product(scores, repeat=len(scores)))
    exact = [means[int(share * len(means))] for share in (0.025, 0.975)]
    assert found.p_interval == pytest.approx(exact, abs=0.5 / len(scores) + 1e-12)  # a step of the distribution
    assert found.difference.values == (-1.0, 0.0, 2.0)


def test_equal_methods_are_rarely_called_better_in_2_000_comparisons() -> None:
    draw = np.random.default_rng(0)
    for n, tied in ((10, False), (10, True), (6, False), (29, False)):
        sets = draw.normal(size=(2000, 2, n))
        sets = sets.round() if tied else sets
        verdicts = [compare_pairs(a, b, is_higher_better=True).verdict for a, b in sets.tolist()]
        most = 0.07 if tied else 0.06  # many ties make the interval coarse
        assert sum(verdict in ("first", "second") for verdict in verdicts) <= most * len(sets), (n, tied)


def test_a_verdict_needs_six_pairs_and_the_interval() -> None:
    def compare(wins: int, losses: int) -> str:
        first, second = [1.0] * wins + [0.0] * losses, [0.0] * wins + [1.0] * losses
        return compare_pairs(first, second, is_higher_better=True).verdict

    assert [compare(5, 0), compare(6, 0), compare(0, 6), compare(9, 1), compare(6, 4), compare(70, 30)] == [
        *("too few", "first", "second", "first", "unclear", "unclear")
    ]
    assert compare_pairs([1.0] * 10, [1.0] * 10, is_higher_better=True).verdict == "unclear"


def test_the_number_of_seeds_is_that_of_noether() -> None:
    errors = stats.norm.ppf(0.95) - stats.norm.ppf(0.05)
    assert np.ceil((errors / (np.sqrt(6) * (0.5 - 0.75))) ** 2) == MOST_USEFUL_PAIRS


def test_sentences_name_the_better_group() -> None:
    won, even = ([1.0] * 8, [0.0] * 8), ([1.0, 0.0] * 4, [0.0, 1.0] * 4)
    assert describe_comparison(compare_pairs(*won, is_higher_better=False), "a", "b") == (
        "b is better: P(b better than a) is 1.00, 95 % interval 1.00 to 1.00"
    )
    text = describe_comparison(compare_pairs(*even, is_higher_better=True), "a", "b")
    assert text.startswith("no clear difference: P(a better than b) is 0.50")
    assert text.endswith("; 29 seeds would show a P of 0.75")
    few = compare_pairs([1.0], [0.0], is_higher_better=True)
    assert describe_comparison(few, "a", "b") == "1 seeds in common are too few for a verdict: train at least 6"
