"""Corners of a search space: every choice, and both ends of every range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import prod
from typing import NamedTuple, TypeAlias

from dlcli.config.sweep.nodes import Choice, Fixed, Layers, Node, Range, Settings, as_written
from dlcli.config.sweep.parse import Entry
from dlcli.config.tree import KeyPath, Value, dotted

_MOST_IN_SECTION = 100  # limit for one option; beyond it, the settings of the option vary one by one
_MOST = 1000  # limit for the assignments to check, at about 0.15 ms each


class Corner(NamedTuple):
    """Value of a setting of the space.

    Attributes:
        value: Choice, or end of a range.
        at: Path in the document of the value and of each setting inside it, by the path in the config.
    """

    value: Value
    at: dict[KeyPath, KeyPath]


Corners: TypeAlias = dict[str, Corner]  # a corner of each setting of the space, by dotted name


def assignments(entries: Sequence[Entry]) -> Iterator[Corners]:
    """Yield assignments of corners to all settings of the space: all of them if they are few.

    Otherwise, each setting takes each of its corners while all other settings have their first corner. Then pairs and
    triples of settings are combined in the same way, until the limit is reached. The ends of a range are enough: a rule
    between settings that holds at both ends also holds between them.
    """
    corners = {dotted(entry.key): corners_of(entry.node, entry.key, entry.at) for entry in entries}
    if prod(map(len, corners.values())) <= _MOST:
        yield from _products(corners)
        return
    first = {key: values[0] for key, values in corners.items()}
    yielded = 0
    for size in (1, 2, 3):
        for keys in combinations(corners, size):
            varied = {key: corners[key] for key in keys}
            yielded += prod(map(len, varied.values()))
            if size > 1 and yielded > _MOST:
                return
            yield from ({**first, **part} for part in _products(varied))


def _products(corners: dict[str, list[Corner]]) -> Iterator[Corners]:
    for values in product(*corners.values()):
        yield dict(zip(corners, values, strict=True))


def corners_of(node: Node, key: KeyPath, at: KeyPath) -> list[Corner]:
    """Return the corners of a node that is written at the path `at`."""
    match node:
        case Fixed(value):
            return [Corner(value, {key: at})]
        case Range():
            low, high = map(as_written, (node.low, node.last))
            return [Corner(low, {key: (*at, "min")}), Corner(high, {key: (*at, "max")})]
        case Choice(options):
            return [corner for i, option in enumerate(options) for corner in corners_of(option, key, (*at, i))]
        case Layers(depth, width):
            return [
                Corner((size.value,) * int(str(layers.value)), {key: at, **size.at})
                for layers in corners_of(depth, key, (*at, "depth"))
                for size in corners_of(width, key, (*at, "width"))
            ]
        case Settings(nodes):
            return _corners_of_settings(nodes, key, at)


def _corners_of_settings(nodes: Sequence[tuple[str, Node]], key: KeyPath, at: KeyPath) -> list[Corner]:
    """Return the corners of an option with several settings; if they are many, the settings vary one by one."""
    settings = {name: corners_of(node, (*key, name), (*at, name)) for name, node in nodes}
    if prod(map(len, settings.values())) <= _MOST_IN_SECTION:
        parts = list(_products(settings))
    else:
        first = {name: corners[0] for name, corners in settings.items()}
        parts = [{**first, name: corner} for name, corners in settings.items() for corner in corners]
    return [
        Corner(
            {name: corner.value for name, corner in part.items()},
            {key: at, **{path: place for corner in part.values() for path, place in corner.at.items()}},
        )
        for part in parts
    ]
