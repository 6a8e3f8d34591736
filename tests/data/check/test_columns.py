"""Findings about single columns, at their limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Finished


@pytest.mark.parametrize(("value", "is_found"), [(-999, True), (99, False), (9999, True), (999, False)])
def test_a_placeholder_is_negative_or_far_from_the_others(
    dlcli: Callable[..., Finished], value: int, is_found: bool
) -> None:
    rows = [f"{value if i % 20 == 0 else 100 + 7 * i % 400 * 2},{'ab'[i % 2]}" for i in range(200)]
    with open("t.csv", "w") as file:
        file.write("\n".join(["x,y", *rows]) + "\n")
    shown = dlcli("data", "check", "t.csv", "--target", "y")
    assert ("may stand for missing values" in " ".join(shown.out.split())) == is_found
