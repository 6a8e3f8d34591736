"""Parts of a search space: single values, ranges, choices, settings of a choice, and sizes of layers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, TypeAlias

from dlcli.config.tree import Value

Label: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Fixed:
    """Single value, as an option of a choice or as a setting of an option."""

    value: Value


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; with a step, `low` + k · `step` up to `high`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_whole: bool = False

    @property
    def last(self) -> float:
        """Largest value: `high`, or the last step before it."""
        return self.high if self.step is None else self.value(self.steps)

    @property
    def steps(self) -> int:
        """Number of steps from the smallest to the largest value."""
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step or 1))

    def value(self, index: int) -> float:
        """Return the value after `index` steps, computed in decimals: 0.3, not 0.30000000000000004."""
        value = _decimal(self.low) + index * _decimal(self.step or 1)
        return int(value) if self.is_whole else float(value)


@dataclass(frozen=True)
class Choice:
    """One of several options."""

    options: tuple[Node, ...]

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """A distinct value per option: the options if all are single values, otherwise their JSON."""
        values = [option.value for option in self.options if isinstance(option, Fixed)]
        scalars = [value for value in values if not isinstance(value, tuple | dict)]
        if len(scalars) == len(self.options):
            return tuple(scalars)
        return tuple(canonical_json(plain(option)) for option in self.options)


@dataclass(frozen=True)
class Settings:
    """Several settings of a section, by name in alphabetical order."""

    nodes: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Layers:
    """Sizes of hidden layers: `depth` layers of `width` units each; without layers there is no width."""

    depth: Fixed | Range | Choice
    width: Node

    @property
    def may_be_empty(self) -> bool:
        """Whether the depth can be 0."""
        options = self.depth.options if isinstance(self.depth, Choice) else (self.depth,)
        return any(option.low == 0 if isinstance(option, Range) else option == Fixed(0) for option in options)


Node: TypeAlias = Fixed | Range | Choice | Settings | Layers


def plain(node: Node) -> Any:
    """Return a node in the form of a config file, as JSON values."""
    match node:
        case Fixed(value):
            return as_written(value)
        case Range(low, high, log, step):
            scale = {"log": True} if log else {} if step is None else {"step": as_written(step)}
            return {"min": as_written(low), "max": as_written(high), **scale}
        case Choice(options):
            return [plain(option) for option in options]
        case Settings(nodes):
            return {key: plain(inner) for key, inner in nodes}
        case Layers(depth, width):
            return {"depth": plain(depth), "width": plain(width)}


def canonical_json(value: Any) -> str:
    """Return a value as JSON with sorted keys; equal numbers have the same text."""
    return json.dumps(as_written(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def as_written(value: Any) -> Any:
    """Return a value in the form of a config file, as JSON values: 1, not 1.0."""
    if isinstance(value, dict):
        return {key: as_written(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [as_written(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _decimal(number: float) -> Decimal:
    """Return the decimal number as it was written, without binary rounding."""
    return Decimal(repr(number))
