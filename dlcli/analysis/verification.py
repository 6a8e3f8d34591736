"""Two trainings held against each other, bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

_MOST_SHOWN = 5  # rows; the first difference is the telling one


def compare_rows(
    then: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]], *, besides: Collection[str]
) -> list[str]:
    """Return where two logs differ, a line for each epoch that does.

    Args:
        then: The rows of the first.
        now: The rows of the second.
        besides: Columns to leave out: those of the clock.
    """
    differences = []
    for before, after in zip(then, now, strict=False):
        names = [name for name in {**before, **after} if name not in besides]
        # As text, where NaN equals NaN, and every float has digits of its own.
        unlike = [name for name in names if repr(before.get(name)) != repr(after.get(name))]
        if unlike:
            shown = ", ".join(f"{name} {before.get(name)!r} then, {after.get(name)!r} now" for name in unlike)
            differences.append(f"epoch {before.get('epoch')}: {shown}")
    if len(differences) > _MOST_SHOWN:
        differences[_MOST_SHOWN:] = [f"and {len(differences) - _MOST_SHOWN} more epochs"]
    if len(then) != len(now):
        differences.append(f"{len(then)} epochs then, {len(now)} now")
    return differences


def compare_tensors(what: str, then: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    """Return in a line, if at all, how far two sets of tensors are apart."""
    if then.keys() != now.keys() or any(then[name].shape != now[name].shape for name in then):
        return [f"{what}: other tensors"]
    unlike = [name for name in then if not torch.equal(then[name], now[name])]
    if not unlike:
        return []
    furthest = max(float((then[name].double() - now[name].double()).abs().max()) for name in unlike)
    return [f"{what}: {len(unlike)} of {len(then)} tensors differ, by {furthest:.2g} at most"]
