"""Assignment of rows to splits: groups stay together, times stay in order, test parts do not depend on the seed."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from dlcli.data.row_splits import RowSplits, split_at_random, split_by_column, split_by_group, split_by_time
from dlcli.data.tables.rows import Kept, Rows
from dlcli.data.tables.table import Column, Table
from dlcli.errors import DataError


def check_parts(splits: RowSplits, n: int) -> None:
    assert np.array_equal(np.sort(np.concatenate(splits)), np.arange(n))
    assert all(len(part) and (np.diff(part) > 0).all() for part in splits)


def category(texts: list[str]) -> Column:
    names = sorted(set(texts))
    places = {name: code for code, name in enumerate(names)}
    return Column("c", "category", np.array([places[text] for text in texts], dtype=np.int32), tuple(names))


def kept(column: Column, start: int = 0) -> Kept:
    """Return a column as the rows of a table, without those before `start`."""
    n = len(column.values)
    rows = Rows((Table("t.csv", {}, n, "", {}, lambda row: row + 2),), {"c": column}, np.zeros(n, dtype=np.int64))
    return rows.select(np.arange(n) >= start)


def test_no_group_is_on_two_sides_and_sizes_are_within_one_group_of_the_fractions() -> None:
    for seed in range(300):
        draw = np.random.default_rng(seed)
        n, groups = int(draw.integers(30, 400)), int(draw.integers(8, 60))
        codes = draw.choice(groups, n, p=draw.dirichlet(np.full(groups, draw.choice([0.5, 2.0, 50.0]))))
        labels = draw.integers(0, 3, n) if seed % 2 else None
        column = Column("c", "number", codes.astype(float)) if seed % 3 else category([f"g{code}" for code in codes])
        parts = [
            split_by_group(kept(column), "c", labels, 0.2, 0.2, again) for again in (range(10) if seed < 20 else [seed])
        ]
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
        column = category(texts) if seed % 7 else Column("c", "number", hours.astype(float))
        times = times if seed % 7 else hours
        splits = split_by_time(kept(column), "c", 0.2, 0.1)
        check_parts(splits, n)
        assert times[splits.train].max() < times[splits.val].min(), (seed, form)
        assert times[splits.val].max() < times[splits.test].min(), (seed, form)


def test_times_of_several_zones_are_ordered_by_their_instant() -> None:
    texts = ["2024-01-01T12:00+05:00", "2024-01-01T08:00Z", "2024-01-01T10:00+01:00", "2024-01-01T09:30-03:00"]
    splits = split_by_time(kept(category(texts)), "c", 0.25, 0.25)
    assert [part.tolist() for part in splits] == [[0, 1], [2], [3]]


def test_a_text_that_is_no_time_is_refused() -> None:
    with pytest.raises(DataError, match=r"t\.csv:2: column 'c' has a value that is no time: '2024-13-01'"):
        split_by_time(kept(category(["2024-13-01", "2024-01-01", "2024-01-02"])), "c", 0.2, 0.2)


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


@pytest.mark.parametrize(("classes", "patients", "rows"), [(6, 3, 10), (8, 3, 25), (10, 2, 10), (3, 20, 7)])
def test_groups_of_a_single_class_are_drawn_by_size_and_each_class_stays_in_train(
    classes: int, patients: int, rows: int
) -> None:
    groups = np.repeat(np.arange(classes * patients), rows)
    labels, n = groups // patients, classes * patients * rows
    for seed in range(20):
        splits = split_by_group(kept(Column("c", "number", groups.astype(float))), "c", labels, 0.2, 0.1, seed)
        check_parts(splits, n)
        assert abs(len(splits.test) - 0.2 * n) <= rows / 2
        assert abs(len(splits.val) - 0.1 * (n - len(splits.test))) <= rows / 2
        assert len(set(labels[splits.train])) == classes
        in_test = np.bincount(labels[splits.test], minlength=classes)
        assert np.ptp(in_test) <= rows


@pytest.mark.parametrize(("n", "test", "val"), [(100, 20, 8), (10, 2, 1), (5, 1, 1)])
def test_different_times_are_split_by_the_exact_fractions(n: int, test: int, val: int) -> None:
    splits = split_by_time(kept(Column("c", "number", np.arange(float(n)))), "c", 0.2, 0.1)
    assert (len(splits.test), len(splits.val)) == (test, val)


def test_offsets_from_utc_order_the_times_of_every_form() -> None:
    column = category(["01.01.2024 23:00+12:00", "01.01.2024 12:00+00:00", "1.1.2024 13:00Z", "01.01.2024 09:00-0500"])
    splits = split_by_time(kept(column), "c", 0.25, 0.25)
    assert [part.tolist() for part in splits] == [[0, 1], [2], [3]]
    with pytest.raises(DataError, match=r"t\.csv:3: column 'c' has a time without a time zone, '2024-01-01 01:00'"):
        split_by_time(kept(category(["2024-01-01 00:00Z", "2024-01-01 01:00"])), "c", 0.2, 0)


def test_integers_with_19_digits_are_times() -> None:
    texts = [str(1_700_000_000_000_000_000 + i) for i in (3, 1, 2, 0)]
    splits = split_by_time(kept(category(texts)), "c", 0.25, 0.25)
    assert [part.tolist() for part in splits] == [[1, 3], [2], [0]]


def test_wrong_values_are_named_with_their_line_also_behind_rows_that_are_left_out() -> None:
    gap = Column("c", "number", np.array([np.nan, np.nan, 1.0, np.nan, 2.0]))
    with pytest.raises(DataError, match=r"t\.csv:5: column 'c' has no time"):
        split_by_time(kept(gap, start=2), "c", 0.2, 0.1)
    with pytest.raises(DataError, match=r"t\.csv:4: column 'c' has a time in another form than .*: '1.1.2024'"):
        split_by_time(kept(category(["2024-01-02", "2024-01-03", "1.1.2024"])), "c", 0.2, 0.1)
    with pytest.raises(DataError, match=r"t\.csv:3: column 'c' must contain train, val or test. Got 'tets' instead"):
        split_by_column(kept(category(["train", "tets", "test"])), "c")
    with pytest.raises(DataError, match=r"t\.csv:4: column 'c' must contain train, val or test, not numbers"):
        split_by_column(kept(gap, start=2), "c")


def test_values_of_rows_that_are_left_out_do_not_count() -> None:
    texts = ["unknown", "2024-01-05", "2024-01-02", "2024-01-03"]
    splits = split_by_time(kept(category(texts), start=1), "c", 0.3, 0.3)
    assert [part.tolist() for part in splits] == [[1], [2], [0]]
    splits = split_by_column(kept(category(["tets", "train", "val", "test"]), start=1), "c")
    assert [part.tolist() for part in splits] == [[0], [1], [2]]
