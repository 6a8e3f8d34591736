"""Statistics of seeds, compared with SciPy and simulations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from dlcli.evaluation.seed_statistics import bounds_of, format_spread, measure_spread

Numbers = Sequence[float | None]


def by_seed(values: Numbers) -> dict[int, float | None]:
    return dict(enumerate(values))


def test_the_spread_is_that_of_scipy() -> None:
    draw = np.random.default_rng(0)
    for n in (2, 3, 10, 100):
        values = draw.normal(3, 2, n).tolist()
        spread = measure_spread(by_seed([*values, None]))
        low, high = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
        assert spread.interval == pytest.approx((low, high), rel=1e-12)
        assert (spread.mean, spread.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)), rel=1e-12)
        assert (spread.least, spread.median, spread.most) == (min(values), np.median(values), max(values))
        assert (spread.n, spread.diverged, len(spread.values)) == (n, 1, n + 1)


def test_few_and_equal_values_have_no_or_no_wide_interval() -> None:
    assert measure_spread(by_seed([None, None])).mean is None
    assert measure_spread(by_seed([0.5])).interval is None
    assert measure_spread(by_seed([0.5, 0.5])).interval == (0.5, 0.5)


@pytest.mark.parametrize("n", [5, 10])
def test_the_interval_covers_the_mean_in_95_percent_of_20_000_sets(n: int) -> None:
    sets = np.random.default_rng(n).normal(1, 3, (20_000, n))
    covered = 0
    for values in sets.tolist():
        low, high = measure_spread(by_seed(values)).interval or (0, 0)
        covered += low <= 1 <= high
    assert 0.94 <= covered / len(sets) <= 0.96


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.9639, 0.9583, 0.9611], "0.9611 ± 0.0028"),
        ([52.3, 58.8], "55.5 ± 4.6"),
        ([12345.0, 23457.0], "17901 ± 7857"),
        ([0.5, 0.5, 0.5], "0.5000 ± 0.0000"),
        ([0.1 + 0.2, 0.3], "0.3000 ± 0.0000"),
        ([0.0, 0.0], "0 ± 0"),
        ([1e-12, 3e-12], "2e-12 ± 1.41e-12"),
        ([1e9, 3e9], "2e+09 ± 1.41e+09"),
        ([0.94444], "0.9444"),
        ([None], "–"),
    ],
)
def test_a_spread_has_the_digits_that_its_deviation_allows(values: Numbers, text: str) -> None:
    assert format_spread(measure_spread(by_seed(values))) == text


def test_the_interval_of_a_mean_ends_at_possible_values() -> None:
    assert measure_spread(by_seed([0.99, 1.0]), bounds_of("test/accuracy")).interval == pytest.approx(
        (0.995 - stats.t.ppf(0.975, 1) * 0.005, 1.0)
    )
    assert measure_spread(by_seed([0.01, 0.2]), bounds_of("val/loss")).interval[0] == 0  # type: ignore[index]
    assert bounds_of("val/r2") == (-np.inf, 1)
