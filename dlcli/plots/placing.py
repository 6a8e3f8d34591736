"""Placement of labels beside curves, without overlap."""

from __future__ import annotations

from collections.abc import Sequence


def spread_apart(positions: Sequence[float], gap: float) -> list[float]:
    """Return positions in [0, 1], moved as little as necessary to be `gap` apart, in the same order."""
    order = sorted(range(len(positions)), key=lambda i: (positions[i], -i))
    placed = [min(max(positions[i], 0.0), 1.0) for i in order]
    for _ in range(100):  # relax: push overlapping neighbours apart, then clip to the axis
        for i in range(1, len(placed)):
            overlap = max(0.0, gap - (placed[i] - placed[i - 1]))
            placed[i - 1] -= overlap / 2
            placed[i] += overlap / 2
        placed = [min(max(position, gap * i), 1 - gap * (len(placed) - 1 - i)) for i, position in enumerate(placed)]
    by_index = dict(zip(order, placed, strict=True))
    return [by_index[i] for i in range(len(positions))]
