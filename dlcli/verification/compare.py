"""Two trainings compared, bit by bit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

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


def compare_text(what: str, then: str, now: str, *, may_be_short: bool = False) -> list[str]:
    """Return in a line, if at all, where two texts differ.

    Args:
        what: Their name.
        then: The first.
        now: The second.
        may_be_short: Whether the first may end before the second, within a line too, as after a crash.
    """
    if then == now or (may_be_short and now.startswith(then)):
        return []
    pairs = zip(then.split("\n"), now.split("\n"), strict=False)
    line = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), None)
    return [f"{what}: line {line} differs" if line else f"{what}: {then.count(chr(10))} lines then, not as many now"]


def compare_records(
    what: str, then: Mapping[str, Any], now: Mapping[str, Any], *, besides: Collection[str] = ()
) -> list[str]:
    """Return where two JSON objects differ, a line for each value that does, by its dotted name.

    Args:
        what: Their name.
        then: The first.
        now: The second.
        besides: Dotted names to leave out.
    """
    before, after = dict(_leaves(then)), dict(_leaves(now))
    names = [name for name in {**before, **after} if name not in besides]
    unlike = [name for name in names if repr(before.get(name)) != repr(after.get(name))]
    return [f"{what}: {name} {before.get(name)!r} then, {after.get(name)!r} now" for name in unlike]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a JSON object that hold no others, by their dotted names."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if not parts:
        yield place, value
    for key, one in parts:
        yield from _leaves(one, f"{place}.{key}" if place else str(key))


def compare_tensors(what: str, then: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> list[str]:
    """Return in a line, if at all, how far two sets of tensors are apart."""
    if then.keys() != now.keys() or any(
        then[name].shape != now[name].shape or then[name].dtype != now[name].dtype for name in then
    ):
        return [f"{what}: other tensors"]
    unlike = [name for name in then if _bits(then[name]) != _bits(now[name])]
    if not unlike:
        return []
    furthest = max(float((then[name].double() - now[name].double()).abs().max()) for name in unlike)
    return [f"{what}: {len(unlike)} of {len(then)} tensors differ, by {furthest:.2g} at most"]


def _bits(values: Tensor) -> bytes:
    """Return the bytes of a tensor's numbers, in which −0 is not 0."""
    return values.detach().cpu().numpy().tobytes()
