"""Assignment of table rows to the splits: by file, column, group, time, or at random."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from dlcli.config.schema import TableData
from dlcli.data.group_splits import choose_groups
from dlcli.data.tables.dates import microseconds, parse_dates
from dlcli.data.tables.rows import Kept
from dlcli.data.tables.table import Column
from dlcli.errors import DataError

_TEST_SEED = 0  # the same test split in every run
_NO_SPLIT = "correct the column, or remove data.split"
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}|[1-9]\d{18}", re.ASCII)  # no leading 0: `0900` may be a date


class RowSplits(NamedTuple):
    """Indices of the examples of each split, ascending."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_rows(kept: Kept, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Split a table by files, by a column, by time, by groups or at random, depending on its settings.

    Args:
        kept: Rows to split.
        data: Settings of the table.
        labels: Class of each row; None for regression.
        seed: Seed of val; test is the same for all seeds.

    Raises:
        DataError: If a split would be empty, or the settings contradict the table.
    """
    if data.path is None:
        return _split_by_file(kept, data, labels, seed)
    if data.split is not None:
        return _with_val(split_by_column(kept, data.split), data, labels, seed)
    if data.time is not None:
        return split_by_time(kept, data.time, data.test_fraction, data.val_fraction)
    if data.group is not None:
        return split_by_group(kept, data.group, labels, data.test_fraction, data.val_fraction, seed)
    return split_at_random(len(kept.index), labels, data.test_fraction, data.val_fraction, seed)


def _with_val(splits: RowSplits, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Return the splits by a column, with val drawn from train if the column has no val examples, as for files.

    Raises:
        DataError: If the column has val examples although `data.val_fraction` is 0.
    """
    if len(splits.val) and not data.val_fraction:
        message = f"data.val_fraction is 0, and column {data.split!r} has examples of val"
        raise DataError(message, hint="remove data.val_fraction")
    if len(splits.val) or not data.val_fraction:
        return splits
    val = draw(splits.train, labels, data.val_fraction, seed, "validation")
    return RowSplits(without(splits.train, val), val, splits.test)


def _split_by_file(kept: Kept, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Return the rows of each file; a split without a file is drawn from the rows of train."""
    part = kept.rows.part[kept.index]
    rows = {name: np.flatnonzero(part == number) for number, name in enumerate(data.files())}
    train = rows["train"]
    if "test" not in rows:
        rows["test"] = draw(train, labels, data.test_fraction, 0, "test")
        train = without(train, rows["test"])
    if "val" not in rows:
        rows["val"] = draw(train, labels, data.val_fraction, seed, "validation") if data.val_fraction else train[:0]
        train = without(train, rows["val"])
    return RowSplits(train, rows["val"], rows["test"])


def split_by_column(kept: Kept, name: str) -> RowSplits:
    """Split by a column with the values train, val and test.

    Raises:
        DataError: If the column has other values, or no train or test.
    """
    column = kept.column(name).without_unused()
    if column.is_numeric:
        kept.fail(name, ~column.missing, "must contain train, val or test, not numbers", _NO_SPLIT)
    names = [category.strip().lower() for category in column.categories]
    bad = np.isin(column.values, [-1, *(code for code, part in enumerate(names) if part not in RowSplits._fields)])
    if bad.any():
        code = int(column.values[bad][0])
        value = "an empty field" if code < 0 else repr(column.categories[code])
        kept.fail(name, bad, f"must contain train, val or test. Got {value} instead", _NO_SPLIT)
    parts = np.array([RowSplits._fields.index(part) for part in names])[column.values]
    splits = RowSplits(*(np.flatnonzero(parts == number) for number in range(3)))
    if not len(splits.train) or not len(splits.test):
        part = "test" if len(splits.train) else "train"
        message = f"{kept.rows.tables[0].file}: column {name!r} has no example for {part}"
        raise DataError(message, hint=_NO_SPLIT)
    return splits


def split_by_time(kept: Kept, name: str, test_fraction: float, val_fraction: float) -> RowSplits:
    """Split by time: the latest examples are test, the examples before them val; equal times stay together.

    Test and val each consist of the fewest latest times that contain at least their fraction of the examples.

    Raises:
        DataError: If a time is missing or cannot be read, or a split would be empty.
    """
    distinct, inverse, counts = np.unique(_read_times(kept, name), return_inverse=True, return_counts=True)
    parts = []
    end = len(distinct)
    for fraction in (test_fraction, val_fraction):
        start, wanted = end, max(1, round(fraction * int(counts[:end].sum()))) if fraction else 0
        while start > 1 and counts[start:end].sum() < wanted:
            start -= 1
        parts.append(np.flatnonzero((inverse >= start) & (inverse < end)))
        end = start
    test, val = parts
    train = np.flatnonzero(inverse < end)
    if not len(train) or not len(test) or (val_fraction and not len(val)):
        message = f"{kept.rows.tables[0].file}: column {name!r} has too few different times to split by"
        raise DataError(message, hint="remove data.time")
    return RowSplits(train, val, test)


def _read_times(kept: Kept, name: str) -> np.ndarray:
    """Return a number for each example that increases with its time."""
    column = kept.column(name).without_unused()
    if column.missing.any():
        kept.fail(name, column.missing, "has no time", "write the time, or delete the row")
    if column.is_numeric:
        return column.values
    if all(_INTEGER.fullmatch(text.strip()) for text in column.categories):  # may have too many digits for float64
        return np.asarray(np.array([int(text) for text in column.categories])[column.values])
    times = parse_dates(column.categories)
    if times is None:
        _fail_times(kept, column)
    local = [time.tzinfo is None for time in times]
    if any(local) and not all(local):
        text = column.categories[local.index(True)]
        problem = f"has a time without a time zone, {text!r}, and others with one"
        kept.fail(name, column.values == local.index(True), problem, "write all times with their offset from UTC")
    return np.asarray(np.array([microseconds(time) for time in times])[column.values])


def _fail_times(kept: Kept, column: Column) -> NoReturn:
    """Raise a DataError about the first value that is not a time or is written unlike the values above it."""
    codes = column.values[np.sort(np.unique(column.values, return_index=True)[1])].tolist()  # in the order of the rows
    texts = [column.categories[code] for code in codes]
    wrong = next((place for place, text in enumerate(texts) if parse_dates([text]) is None), None)
    if wrong is None:
        wrong = bisect_left(range(len(texts)), True, key=lambda place: parse_dates(texts[: place + 1]) is None)
        problem = f"has a time in another form than those above it: {texts[wrong]!r}"
    else:
        problem = f"has a value that is no time: {texts[wrong]!r}"
    hint = "write all dates alike, such as 2026-11-27, or numbers"
    kept.fail(column.name, column.values == codes[wrong], problem, hint)


def split_by_group(
    kept: Kept, name: str, labels: np.ndarray | None, test_fraction: float, val_fraction: float, seed: int
) -> RowSplits:
    """Split so that no value of a column occurs in two splits, with classes as balanced as that allows.

    The groups of the test split do not depend on `seed`.

    Raises:
        DataError: If the column has too few values.
    """
    group = kept.column(name)
    codes = np.unique(group.values, return_inverse=True)[1]  # missing values are a group too
    everything = np.arange(len(codes))
    parts = []
    rest = everything
    for fraction, part_seed in ((test_fraction, _TEST_SEED), (val_fraction, seed)):
        parts.append(_draw_groups(kept, name, codes, labels, rest, fraction, part_seed) if fraction else rest[:0])
        rest = without(rest, parts[-1])
    test, val = parts
    return RowSplits(rest, val, test)


def _draw_groups(
    kept: Kept, name: str, codes: np.ndarray, labels: np.ndarray | None, rows: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Return the rows whose groups are drawn, see `choose_groups`."""
    classes = np.zeros(len(rows), dtype=np.int64) if labels is None else labels[rows]
    groups, inverse = np.unique(codes[rows], return_inverse=True)
    if len(groups) < 2:
        sizes = np.bincount(codes)
        described = f"{len(sizes)} different values, the most frequent one in {sizes.max():,} of {len(codes):,} rows"
        message = f"{kept.rows.tables[0].file}: column {name!r} has {described}: too few groups to split"
        raise DataError(message, hint="remove data.group, or use data with more groups")
    counts = np.zeros((len(groups), int(classes.max()) + 1))
    np.add.at(counts, (inverse, classes), 1)
    return np.asarray(rows[choose_groups(counts, fraction, seed)[inverse]])


def split_at_random(
    n: int, labels: np.ndarray | None, test_fraction: float, val_fraction: float, seed: int
) -> RowSplits:
    """Split at random, stratified by class; the test split does not depend on `seed`.

    Raises:
        DataError: If there are too few examples.
    """
    everything = np.arange(n)
    test = draw(everything, labels, test_fraction, _TEST_SEED, "test")
    rest = without(everything, test)
    val = draw(rest, labels, val_fraction, seed, "validation") if val_fraction else rest[:0]
    return RowSplits(without(rest, val), val, test)


def without(rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return the rows that are not in `part`."""
    is_part = np.zeros(int(rows.max(initial=-1)) + 1, dtype=bool)
    is_part[part] = True
    return np.asarray(rows[~is_part[rows]])


def draw(rows: np.ndarray, labels: np.ndarray | None, fraction: float, seed: int, name: str) -> np.ndarray:
    """Return a random `fraction` of the rows in ascending order; with labels, it is drawn from each class.

    Raises:
        DataError: If no row or every row would be drawn.
    """
    generator = np.random.default_rng(seed)
    groups: Sequence[np.ndarray] = [rows]
    if labels is not None:
        of_rows = labels[rows]
        groups = [rows[of_rows == label] for label in range(int(of_rows.max()) + 1)]
    parts = [generator.permutation(group)[: round(fraction * len(group))] for group in groups]
    chosen = np.sort(np.concatenate(parts))
    if not len(chosen) or len(chosen) == len(rows):
        least = math.ceil(1 / fraction)
        setting = "data.val_fraction" if name == "validation" else "data.test_fraction"
        hint = f"use at least {least} examples per class, or change {setting}"
        raise DataError(f"{len(rows)} examples are too few for a {name} split of {fraction:g}", hint=hint)
    return chosen
