"""Placement of labels beside curves."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dlcli.plots.placing import spread_apart


@pytest.mark.parametrize("positions", [[0.5], [0.98, 0.97, 0.97, 0.3], [0.0, 0.0, 0.0], [1.0, 1.0, 0.99, 0.98, 0.97]])
def test_labels_are_apart_in_order_and_within_the_axis(positions: list[float]) -> None:
    placed = spread_apart(positions, 0.065)
    assert all(-1e-9 <= position <= 1 + 1e-9 for position in placed)
    ordered = sorted(placed)
    assert all(above - below > 0.064 for below, above in pairwise(ordered))
    ranks = sorted(range(len(positions)), key=lambda i: placed[i])
    assert [positions[i] for i in ranks] == sorted(positions)
