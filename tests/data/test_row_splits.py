"""Assignment of rows to splits: groups stay together, times stay in order, test parts do not depend on the seed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from dlcli.data.row_splits import RowSplits, split_at_random, split_by_group, split_by_time
from dlcli.data.tables.table import Column
from dlcli.errors import DataError


def check_parts(splits: RowSplits, n: int) -> None:
    assert np.array_equal(np.sort(np.concatenate(splits)), np.arange(n))
    assert all(len(part) and (np.diff(part) > 0).all() for part in splits)


def category(texts: list[str]) -> Column:
    names = sorted(set(texts))
    places = {name: code for code, name in enumerate(names)}
    return Column("c", "category", np.array([places[text] for text in texts], dtype=np.int32), tuple(names))


def test_no_group_is_on_two_sides_and_sizes_are_within_one_group_of_the_fractions() -> None:
    for seed in range(300):
        draw = np.random.default_rng(seed)
        n, groups = int(draw.integers(30, 400)), int(draw.integers(8, 60))
        codes = draw.choice(groups, n, p=draw.dirichlet(np.full(groups, draw.choice([0.5, 2.0, 50.0]))))
        labels = draw.integers(0, 3, n) if seed % 2 else None
        column = Column("g", "number", codes.astype(float)) if seed % 3 else category([f"g{code}" for code in codes])
        parts = [split_by_group(column, labels, 0.2, 0.2, again) for again in (range(10) if seed < 20 else [seed])]
        for splits in parts:
            check_parts(splits, n)
            sides = [set(codes[part]) for part in splits]
            assert sum(map(len, sides)) == len(set.union(*sides)), seed
            largest = np.bincount(codes).max()
            assert abs(len(splits.test) - 0.2 * n) <= largest, seed
            assert abs(len(splits.val) - 0.2 * (n - len(splits.test))) <= largest, seed
            assert np.array_equal(splits.test, parts[0].test), seed


def test_no_time_is_out_of_order_and_equal_times_stay_together() -> None:
    start = dt.datetime(2024, 3, 30, 20)  # an hour is skipped in the night after
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%d-%b-%Y", "%Y-%m-%dT%H:%M:%S+02:00")
    for seed in range(300):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(20, 300))
        hours = draw.integers(0, 24 * int(draw.integers(20, 400)), n)
        form = forms[seed % len(forms)]
        texts = [(start + dt.timedelta(hours=int(hour))).strftime(form) for hour in hours]
        times = np.array([dt.datetime.strptime(text, form).replace(tzinfo=None) for text in texts])
        column = category(texts) if seed % 7 else Column("t", "number", hours.astype(float))
        times = times if seed % 7 else hours
        splits = split_by_time(column, 0.2, 0.1)
        check_parts(splits, n)
        assert times[splits.train].max() < times[splits.val].min(), (seed, form)
        assert times[splits.val].max() < times[splits.test].min(), (seed, form)


def test_times_of_several_zones_are_ordered_by_their_instant() -> None:
    texts = ["2024-01-01T12:00+05:00", "2024-01-01T08:00Z", "2024-01-01T10:00+01:00", "2024-01-01T09:30-03:00"]
    splits = split_by_time(category(texts), 0.25, 0.25)
    assert [part.tolist() for part in splits] == [[0, 1], [2], [3]]


def test_a_text_that_is_no_time_is_refused() -> None:
    with pytest.raises(DataError, match="has a value that is no time: '2024-13-01'"):
        split_by_time(category(["2024-13-01", "2024-01-01", "2024-01-02"]), 0.2, 0.2)


def test_random_test_parts_are_equal_for_every_seed_and_stratified() -> None:
    for seed in range(50):
        labels = np.random.default_rng(seed).integers(0, 4, 200)
        parts = [split_at_random(200, labels, 0.2, 0.1, again) for again in range(10)]
        assert all(np.array_equal(splits.test, parts[0].test) for splits in parts)
        assert len({splits.val.tobytes() for splits in parts}) == 10
        for splits in parts:
            check_parts(splits, 200)
            counts = np.bincount(labels)
            assert np.abs(np.bincount(labels[splits.test]) - 0.2 * counts).max() <= 0.5
