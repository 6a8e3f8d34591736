"""Assignment of table rows to the splits: by file, column, group, time, or at random."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from dlcli.config.schema import TableData
from dlcli.data.tables.rows import Kept
from dlcli.data.tables.table import Column
from dlcli.data.tables.texts import parse_dates
from dlcli.errors import DataError

_TEST_SEED = 0  # the same test split in every run


class RowSplits(NamedTuple):
    """Indices of the examples of each split, ascending."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_rows(kept: Kept, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Return the splits of a table, by files, a column, time, groups or at random, as its settings say.

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
        return _with_val(split_by_column(kept.column(data.split)), data, labels, seed)
    if data.time is not None:
        return split_by_time(kept.column(data.time), data.test_fraction, data.val_fraction)
    if data.group is not None:
        return split_by_group(kept.column(data.group), labels, data.test_fraction, data.val_fraction, seed)
    return split_at_random(len(kept.index), labels, data.test_fraction, data.val_fraction, seed)


def _with_val(splits: RowSplits, data: TableData, labels: np.ndarray | None, seed: int) -> RowSplits:
    """Return splits with val, which is drawn from train if a column of splits has none, as for files.

    Raises:
        DataError: If the column has a val that `data.val_fraction` denies.
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


def split_by_column(column: Column) -> RowSplits:
    """Split by a column with the values train, val and test.

    Raises:
        DataError: If the column has other values, or no train or test.
    """
    names = [category.strip().lower() for category in column.categories]
    wrong = [category for category, name in zip(column.categories, names, strict=True) if name not in RowSplits._fields]
    if wrong or (column.values < 0).any():
        value = repr(wrong[0]) if wrong else "an empty field"
        raise DataError(
            f"column {column.name!r} must contain train, val or test. Got {value} instead", hint="remove data.split"
        )
    parts = []
    for name in RowSplits._fields:
        codes = [code for code, value in enumerate(names) if value == name]
        parts.append(np.flatnonzero(np.isin(column.values, codes)))
    splits = RowSplits(*parts)
    if not len(splits.train) or not len(splits.test):
        raise DataError(f"column {column.name!r} has no example for {'test' if len(splits.train) else 'train'}")
    return splits


def split_by_time(column: Column, test_fraction: float, val_fraction: float) -> RowSplits:
    """Split so that the latest examples are the test split and those before them val; equal times stay together.

    Raises:
        DataError: If a time is missing or cannot be read, or a split would be empty.
    """
    times = _read_times(column)
    distinct, inverse, counts = np.unique(times, return_inverse=True, return_counts=True)
    n, parts = len(times), []
    end = len(distinct)
    for fraction in (test_fraction, val_fraction * (1 - test_fraction)):
        start, wanted = end, fraction * n
        while start > 1 and wanted > 0 and counts[start - 1 : end].sum() < wanted:
            start -= 1
        start = max(1, min(start, end - 1)) if wanted > 0 else end
        parts.append(np.flatnonzero((inverse >= start) & (inverse < end)))
        end = start
    test, val = parts
    train = np.flatnonzero(inverse < end)
    if not len(train) or not len(test) or (val_fraction and not len(val)):
        raise DataError(f"column {column.name!r} has too few different times to split by", hint="remove data.time")
    return RowSplits(train, val, test)


def _read_times(column: Column) -> np.ndarray:
    if column.kind in ("number", "boolean"):
        if np.isnan(column.values).any():
            raise DataError(
                f"column {column.name!r} has no time in data row {int(np.isnan(column.values).argmax()) + 1}"
            )
        return column.values
    if (column.values < 0).any():
        raise DataError(f"column {column.name!r} has no time in data row {int((column.values < 0).argmax()) + 1}")
    times = _parse_times(column.categories)
    if times is None:
        wrong = next((text for text in column.categories if parse_dates([text]) is None), column.categories[0])
        message = f"column {column.name!r} has a value that is no time: {wrong!r}"
        raise DataError(message, hint="write dates like 2026-11-27, or numbers")
    return np.asarray(np.array(times)[column.values])


def _parse_times(texts: Sequence[str]) -> list[int] | None:
    """Return microseconds since 1970; None if a text is no time. With time zones, they are those of UTC."""
    start = dt.datetime(1970, 1, 1)
    times = parse_dates(texts)
    with suppress(ValueError):
        aware = [dt.datetime.fromisoformat(text.strip()) for text in texts]
        if all(time.tzinfo is not None for time in aware):
            times = [time.astimezone(dt.UTC).replace(tzinfo=None) for time in aware]
    return None if times is None else [(time - start) // dt.timedelta(microseconds=1) for time in times]


def split_by_group(
    group: Column, labels: np.ndarray | None, test_fraction: float, val_fraction: float, seed: int
) -> RowSplits:
    """Split so that no value of a column occurs in two splits, with classes as balanced as that allows.

    The groups of the test split do not depend on `seed`.
    """
    codes = (
        np.where(group.values < 0, len(group.categories), group.values)
        if group.categories
        else np.unique(group.values, return_inverse=True)[1]
    )
    everything = np.arange(len(codes))
    test = _draw_groups(codes, labels, everything, test_fraction, _TEST_SEED)
    rest = without(everything, test)
    val = _draw_groups(codes, labels, rest, val_fraction, seed) if val_fraction else rest[:0]
    return RowSplits(without(rest, val), val, test)


def _draw_groups(
    codes: np.ndarray, labels: np.ndarray | None, rows: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Return the rows of randomly drawn groups, within one group of `fraction` of the rows.

    Groups are visited in a random order, large ones first where classes must be balanced; each is drawn if that brings
    the number of examples of the classes nearer to the wanted numbers.
    """
    classes = np.zeros(len(rows), dtype=np.int64) if labels is None else labels[rows]
    groups, inverse = np.unique(codes[rows], return_inverse=True)
    table = np.zeros((len(groups), int(classes.max()) + 1))
    np.add.at(table, (inverse, classes), 1)
    if len(groups) < 2:
        raise DataError("data.group has a single value, so that there is nothing to split", hint="remove data.group")
    wanted = fraction * table.sum(0)
    chosen, drawn = np.zeros(len(groups), dtype=bool), np.zeros(table.shape[1])
    for index in np.random.default_rng(seed).permutation(len(groups)):
        gain = np.abs(wanted - drawn).sum() - np.abs(wanted - drawn - table[index]).sum()
        if gain > 0 and chosen.sum() < len(groups) - 1:
            chosen[index], drawn = True, drawn + table[index]
    if not chosen.any():
        chosen[table.sum(1).argmin()] = True
    return rows[chosen[inverse]]


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
    """Return the rows that are not in a part of them."""
    return rows[np.isin(rows, part, invert=True, kind="table")]


def draw(rows: np.ndarray, labels: np.ndarray | None, fraction: float, seed: int, name: str) -> np.ndarray:
    """Return a random `fraction` of the rows, ascending, of each class if there are labels.

    Raises:
        DataError: If that is no row, or every row.
    """
    generator = np.random.default_rng(seed)
    groups: Sequence[np.ndarray] = (
        [rows] if labels is None else [rows[labels[rows] == label] for label in range(int(labels[rows].max()) + 1)]
    )
    parts = [generator.permutation(group)[: round(fraction * len(group))] for group in groups]
    chosen = np.sort(np.concatenate(parts))
    if not len(chosen) or len(chosen) == len(rows):
        least = math.ceil(1 / fraction)
        setting = "data.val_fraction" if name == "validation" else "data.test_fraction"
        hint = f"use at least {least} examples per class, or change {setting}"
        raise DataError(f"{len(rows)} examples are too few for a {name} split of {fraction:g}", hint=hint)
    return chosen
