"""Columns that identify the rows of a table."""

from __future__ import annotations

import numpy as np
import pytest

from dlcli.data.tables.table import Column
from dlcli.data.usefulness import distinct_values, why_identifier

N = 1_500
WITH_ONE_TWICE = np.random.default_rng(0).permutation(9 * N)[:N]
WITH_ONE_TWICE[7] = WITH_ONE_TWICE[8]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("customer_id", WITH_ONE_TWICE, "a different whole number in nearly every row"),
        ("amount", WITH_ONE_TWICE, ""),
        ("n", np.arange(10, 10 * N, 10), "a row number"),
        ("n", np.arange(N), "a row number"),
        ("year", np.arange(1875, 1973), ""),
        ("salary", np.random.default_rng(0).integers(20, 900, 60) * 1000, ""),
    ],
)
def test_identifiers_are_recognised(name: str, values: np.ndarray, reason: str) -> None:
    column = Column(name, "number", values.astype(np.float64))
    assert why_identifier(column, distinct_values(column)) == reason
