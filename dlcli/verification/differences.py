"""Bitwise comparison of two trainings: log rows, text files, JSON records and tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

_MOST_SHOWN = 5  # differing rows that are listed; the first one is the most informative


def compare_rows(
    first: Sequence[Mapping[str, float]], second: Sequence[Mapping[str, float]], *, besides: Collection[str]
) -> list[str]:
    """Return the differences between two logs, one line per differing epoch.

    Args:
        first: Rows of the original training.
        second: Rows of the repeated training.
        besides: Columns to ignore because they contain times.
    """
    differences = []
    for first_row, second_row in zip(first, second, strict=False):
        names = [name for name in {**first_row, **second_row} if name not in besides]
        # Compared as text, because NaN != NaN; the repr of two floats is equal only if the floats are.
        differing = [name for name in names if repr(first_row.get(name)) != repr(second_row.get(name))]
        if differing:
            shown = ", ".join(
                f"{name} was {first_row.get(name)!r}, is now {second_row.get(name)!r}" for name in differing
            )
            differences.append(f"epoch {first_row.get('epoch')}: {shown}")
    if len(differences) > _MOST_SHOWN:
        differences[_MOST_SHOWN:] = [f"and {len(differences) - _MOST_SHOWN} more epochs"]
    if len(first) != len(second):
        differences.append(f"{len(first)} epochs originally, {len(second)} now")
    return differences


def compare_text(name: str, first: str, second: str, *, may_be_short: bool = False) -> list[str]:
    """Return a line with the first difference of two texts; an empty list if they are equal.

    Args:
        name: Name of the texts.
        first: Text of the original training.
        second: Text of the repeated training.
        may_be_short: Whether `first` may be a prefix of `second`, even within a line, as after a crash.
    """
    if first == second or (may_be_short and second.startswith(first)):
        return []
    pairs = zip(first.split("\n"), second.split("\n"), strict=False)
    line = next((number for number, (a, b) in enumerate(pairs, 1) if a != b), None)
    return [
        f"{name}: line {line} differs" if line else f"{name}: {first.count(chr(10))} lines originally, not as many now"
    ]


def compare_records(
    name: str, first: Mapping[str, Any], second: Mapping[str, Any], *, besides: Collection[str] = ()
) -> list[str]:
    """Return the differences between two JSON objects, one line per differing value with its dotted key.

    Args:
        name: Name of the objects.
        first: Object of the original training.
        second: Object of the repeated training.
        besides: Dotted keys to ignore.
    """
    first_values, second_values = dict(_leaves(first)), dict(_leaves(second))
    keys = [key for key in {**first_values, **second_values} if key not in besides]
    differing = [key for key in keys if repr(first_values.get(key)) != repr(second_values.get(key))]
    return [f"{name}: {key} was {first_values.get(key)!r}, is now {second_values.get(key)!r}" for key in differing]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaf values of a JSON object with their dotted keys."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if not parts:
        yield prefix, value
    for key, item in parts:
        yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))


def compare_tensors(name: str, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Return a line with the difference of two sets of tensors; an empty list if they are bit-identical."""
    if first.keys() != second.keys() or any(
        first[key].shape != second[key].shape or first[key].dtype != second[key].dtype for key in first
    ):
        return [f"{name}: the tensors have other names, shapes or types"]
    differing = [key for key in first if _bits(first[key]) != _bits(second[key])]
    if not differing:
        return []
    largest = max(float((first[key].double() - second[key].double()).abs().max()) for key in differing)
    return [f"{name}: {len(differing)} of {len(first)} tensors differ, by at most {largest:.2g}"]


def _bits(values: Tensor) -> bytes:
    """Return the bytes of a tensor's numbers, which distinguish −0 from 0."""
    return values.detach().cpu().numpy().tobytes()
