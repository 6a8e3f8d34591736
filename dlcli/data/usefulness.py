"""Reasons to leave a column of a table out: constants, identifiers, dates, free text, copies of the target."""

from __future__ import annotations

import re

import numpy as np

from dlcli.data.tables.table import Column

MOST_CATEGORIES = 100  # default of data.max_categories
_SPREAD = 2  # n ≥ 20 random numbers from 1 to 2 n are all different with a probability of 1 in 1,000
_MOST = 0.9  # fraction of distinct values from which a column named like an identifier is one
_SAMPLE = 1000
_YEARS = (1500, 2100)
_LEAST_ROWS = 20  # in fewer rows, different values are no sign of an identifier or a copy
_NAMED_ID = re.compile(r"(^|[^a-z])(id|ids|uid|uuid|guid|key|nr|index|rowid|rownames)([^a-z]|$)|[a-z]I[Dd]$|^unnamed")


def why_useless(column: Column, target: Column, max_categories: int = MOST_CATEGORIES) -> str:
    """Return why a column is not useful as a feature for a target; "" if it may be useful."""
    if column.kind == "date":
        return "dates; `time: ...` orders the examples by it"
    distinct = distinct_values(column)
    if len(distinct) < 2:
        return "always the same"
    if reason := why_identifier(column, distinct):
        return reason
    if column.kind == "text":
        return "free text or identifiers"
    if column.kind == "category" and len(column.categories) > max_categories:
        return f"{len(column.categories):,} categories, more than {max_categories}"
    return "a copy of the target" if copies(column, target) else ""


def distinct_values(column: Column) -> np.ndarray:
    """Return the different values of a column, ascending and without missing ones; codes for categories."""
    return np.unique(column.values[~column.missing])


def is_whole(column: Column, distinct: np.ndarray) -> bool:
    """Return whether a column with these different values contains whole numbers only."""
    return column.kind == "number" and len(distinct) > 0 and bool((distinct == np.floor(distinct)).all())


def why_identifier(column: Column, distinct: np.ndarray) -> str:
    """Return why a column with these different values seems to number or name the rows; "" if it does not."""
    n = len(column.values) - int(column.missing.sum())
    if n < _LEAST_ROWS or column.kind in ("boolean", "date"):
        return ""
    if not column.is_numeric:
        is_name = len(distinct) == n or (is_named_id(column.name) and len(distinct) >= _MOST * n)
        return "a different text in nearly every row" if is_name else ""
    if not is_whole(column, distinct):
        return ""
    if is_named_id(column.name) and len(distinct) >= _MOST * n:
        return "a different whole number in nearly every row"
    steps = np.diff(distinct)
    is_dense = len(distinct) == n and distinct[-1] - distinct[0] < _SPREAD * len(distinct) * steps.min()
    return "a row number" if is_dense and not _is_year(distinct) else ""


def _is_year(distinct: np.ndarray) -> bool:
    """Return whether whole numbers may be years, as in a table with a row per year."""
    return bool(distinct[0] >= _YEARS[0] and distinct[-1] <= _YEARS[1])


def is_named_id(name: str) -> bool:
    """Return whether the name of a column says that it holds identifiers."""
    return _NAMED_ID.search(name) is not None or _NAMED_ID.search(name.lower()) is not None


def copies(column: Column, target: Column) -> bool:
    """Return whether a column is the target in another form: renamed classes, or a monotonic function of numbers."""
    both = ~column.missing & ~target.missing
    x, y = column.values[both], target.values[both]
    if len(x) < _LEAST_ROWS or len(np.unique(y)) < 2:
        return False
    if target.is_numeric and not column.is_numeric:
        return False
    is_copy = _is_monotonic if target.is_numeric else _is_renamed
    return is_copy(x[:_SAMPLE], y[:_SAMPLE]) and is_copy(x, y)  # the sample nearly always decides, and is faster


def _is_renamed(x: np.ndarray, codes: np.ndarray) -> bool:
    """Return whether each value of x belongs to a single code and each code to a single value of x."""
    values, places = np.unique(x, return_inverse=True)
    pairs = np.unique(places * (int(codes.max()) + 1) + codes)
    return bool(len(pairs) == len(values) == len(np.unique(codes)))


def _is_monotonic(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether y is a strictly rising or falling function of x."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    is_strict = ((x[1:] > x[:-1]) == (y[1:] != y[:-1])).all()
    return bool(is_strict and ((y[1:] >= y[:-1]).all() or (y[1:] <= y[:-1]).all()))
