"""Digits of predicted numbers."""

from __future__ import annotations

import pytest

from dlcli.cli.predictions import count_digits, format_value


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([12.3456, 99.1], ["12.346", "99.1"]),
        ([1.70001095e9, 1.70000006e9], ["1700010950", "1700000060"]),  # seconds since 1970
        ([0.001, 0.0010001], ["0.001", "0.0010001"]),
        ([1.5e300, -1.5e308], ["1.5e+300", "-1.5e+308"]),
        ([0.0, 0.0], ["0", "0"]),
        ([[1.0, 50_000.1], [2.0, 50_000.2]], ["1, 50000.1", "2, 50000.2"]),
    ],
)
def test_predictions_have_the_digits_that_tell_them_apart(values: list[float], texts: list[str]) -> None:
    assert [format_value(value, count_digits(values)) for value in values] == texts
