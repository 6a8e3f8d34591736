"""Means, standard deviations and paired differences, compared with NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dlcli.evaluation.seed_statistics import mean_sd
from dlcli.lecture.studies.results import compare, first_epoch


def test_means_and_standard_deviations_equal_numpys() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.01, 7).tolist()
    spread = mean_sd(values)
    assert spread is not None
    assert (spread.mean, spread.n) == (pytest.approx(np.mean(values)), 7)
    assert spread.sd == pytest.approx(np.std(values, ddof=1))
    assert mean_sd([]) is None
    assert mean_sd([3.0]).sd is None  # type: ignore[union-attr]


def test_paired_differences_match_a_paired_t_test() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(0.90, 0.05, 6), generator.normal(0.93, 0.05, 6)
    comparison = compare(first.tolist(), second.tolist())
    difference = comparison.difference
    assert difference is not None
    assert difference.sd is not None
    t = difference.mean / (difference.sd / np.sqrt(difference.n))
    assert t == pytest.approx(stats.ttest_rel(second, first).statistic)
    assert comparison.same_sign == int((np.sign(second - first) == np.sign(np.mean(second - first))).sum())


@pytest.mark.parametrize(
    ("reference", "others", "verdict", "same_sign"),
    [
        ([0.9, 0.8, 0.7], [0.7, 0.6, 0.5], "clear", 3),
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], "same", 0),
        ([0.9, 0.8, 0.7], [0.8, 0.9, 0.7], "within", 0),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [0.6, 0.6, 0.6, 0.6, 0.49], "mixed", 4),
        ([0.9, None, 0.7], [0.7, 0.6, None], "mixed", 1),
        ([0.9, None, 0.7], [0.7, 0.6, 0.5], "clear", 2),
        ([None, None], [0.5, 0.6], None, 0),
    ],
)
def test_a_difference_is_clear_if_it_exceeds_its_sd_with_one_sign(
    reference: list[float | None], others: list[float | None], verdict: str | None, same_sign: int
) -> None:
    comparison = compare(reference, others)
    assert (comparison.verdict, comparison.same_sign) == (verdict, same_sign)


def test_a_level_is_reached_at_the_first_epoch_at_or_beyond_it() -> None:
    assert first_epoch([0.5, 0.9, 0.8, 0.95], 0.9, higher=True) == 2
    assert first_epoch([0.5, 0.2, 0.1], 0.2, higher=False) == 2
    assert first_epoch([0.5, 0.6], 0.9, higher=True) is None
    assert first_epoch([], 0.9, higher=True) is None
