"""Search spaces, and the settings that a trial draws from them.

A parameter is a number or choice that a sampler proposes. Its name is its position in the space: the setting, with the
index of the option that it belongs to, such as `optimizer[1].lr`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal, Protocol, TypeAlias

from dlcli.config.schema import MIN_MAGNITUDE
from dlcli.config.sweep.nodes import Choice, Fixed, Label, Layers, Node, Range, Settings, canonical_json, plain
from dlcli.config.tree import Value

Assignment: TypeAlias = dict[str, Label]  # a value for each parameter that is drawn


class Trial(Protocol):
    """Source of values, such as a trial of Optuna."""

    def suggest_categorical(self, name: str, choices: Sequence[Label]) -> Label:
        """Return one of `choices`."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        """Return a number from `low` to `high`, both included."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number from `low` to `high`, both included."""


@dataclass(frozen=True)
class FixedTrial:
    """Trial with given values of its parameters."""

    values: Mapping[str, Any]

    def _value(self, name: str, *_choices: Any, **_scale: Any) -> Any:
        return self.values[name]

    suggest_categorical = suggest_float = suggest_int = _value


@dataclass(frozen=True)
class Parameter:
    """Number or choice that a sampler proposes.

    Attributes:
        name: Position in the space, such as `optimizer[1].lr`.
        kind: Type of its values.
        choices: Labels of the options of a choice; JSON texts if an option is not a single value.
        low: Smallest value of a range.
        high: Largest value of a range.
        log: Whether a range is drawn on a logarithmic scale.
        step: Distance between two values of a range; None if all values between the ends are possible.
        condition: Condition under which a trial has the parameter, such as `optimizer = {"name":"adam"}`; empty if
            every trial has it.
    """

    name: str
    kind: Literal["choice", "float", "int"]
    choices: tuple[Label, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    condition: str = ""


@dataclass(frozen=True)
class Space:
    """Values to try, by dotted setting in alphabetical order, so that the order in the file does not matter."""

    nodes: tuple[tuple[str, Node], ...]

    def draw(self, trial: Trial) -> dict[str, Any]:
        """Return overrides of the base config. Parameters of an option are drawn only if it is chosen."""
        return {key: _draw(node, trial, key) for key, node in self.nodes}

    def overrides(self, assignment: Mapping[str, Label]) -> dict[str, Any]:
        """Return the overrides for given values of the parameters."""
        return self.draw(FixedTrial(assignment))

    def combinations(self) -> list[Assignment]:
        """Return every combination of values once; the values of the last parameter change fastest.

        Raises:
            ValueError: If a range has no step.
        """
        return list(_products([_assignments(node, key) for key, node in self.nodes]))

    @property
    def cardinality(self) -> int | None:
        """Number of combinations; None if there is a range of real numbers."""
        return _multiply(_count(node) for _, node in self.nodes)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters, each after the choice that it belongs to."""
        return tuple(parameter for key, node in self.nodes for parameter in _parameters(node, key, ""))

    def plain(self) -> dict[str, Any]:
        """Return the space in the form of a config file, as JSON values."""
        return {key: plain(node) for key, node in self.nodes}

    def to_json(self) -> str:
        """Return the space as canonical JSON: equal spaces have equal texts."""
        return canonical_json(self.plain())


def _draw(node: Node, trial: Trial, name: str) -> Value:
    match node:
        case Fixed(value):
            return value
        case Range():
            return _draw_number(node, trial, name)
        case Choice(options):
            index = node.labels.index(trial.suggest_categorical(name, node.labels))
            return _draw(options[index], trial, f"{name}[{index}]")
        case Settings(nodes):
            return {key: _draw(inner, trial, f"{name}.{key}") for key, inner in nodes}
        case Layers(depth, width):
            layers = _draw(depth, trial, f"{name}.depth")
            assert isinstance(layers, int)
            return (_draw(width, trial, f"{name}.width"),) * layers if layers else ()


def _draw_number(node: Range, trial: Trial, name: str) -> float:
    """Draw a number from a range. Steps are exact in decimals; numbers too small for float32 become 0."""
    if node.is_whole:
        return trial.suggest_int(name, int(node.low), int(node.last), step=int(node.step or 1), log=node.log)
    number = trial.suggest_float(name, node.low, node.last, step=node.step, log=node.log)
    if node.step is not None:
        return node.value(round((number - node.low) / node.step))
    return 0.0 if node.low <= 0 and abs(number) < MIN_MAGNITUDE else number


def _assignments(node: Node, name: str) -> Iterator[Assignment]:
    """Yield every combination of the parameters of a node.

    Raises:
        ValueError: If a range has no step.
    """
    match node:
        case Fixed():
            yield {}
        case Range(step=None):
            raise ValueError(f"{name} has no step, so its values cannot be listed")
        case Range():
            for index in range(node.steps + 1):
                yield {name: node.value(index)}
        case Choice(options):
            for index, label in enumerate(node.labels):
                yield from ({name: label, **inner} for inner in _assignments(options[index], f"{name}[{index}]"))
        case Settings(nodes):
            yield from _products([_assignments(inner, f"{name}.{key}") for key, inner in nodes])
        case Layers(depth, width):
            for depths in _assignments(depth, f"{name}.depth"):
                has_layers = _draw(depth, FixedTrial(depths), f"{name}.depth") != 0
                widths = _assignments(width, f"{name}.width") if has_layers else [{}]
                yield from ({**depths, **inner} for inner in widths)


def _products(parts: Iterable[Iterable[Assignment]]) -> Iterator[Assignment]:
    for combination in product(*parts):
        yield {name: value for assignment in combination for name, value in assignment.items()}


def _count(node: Node) -> int | None:
    """Return the number of values of a node; None if it has a range of real numbers."""
    match node:
        case Fixed():
            return 1
        case Range(low, high, step=step):
            return node.steps + 1 if step is not None else int(high) - int(low) + 1 if node.is_whole else None
        case Choice(options):
            counts = [_count(option) for option in options]
            return None if None in counts else sum(count or 0 for count in counts)
        case Settings(nodes):
            return _multiply(_count(inner) for _, inner in nodes)
        case Layers(depth, width):
            depths, widths = _count(depth), _count(width)
            if depths is None or widths is None:
                return None
            return (depths - 1) * widths + 1 if node.may_be_empty else depths * widths


def _multiply(counts: Iterable[int | None]) -> int | None:
    listed = list(counts)
    return None if None in listed else prod(count or 0 for count in listed)


def _parameters(node: Node, name: str, condition: str) -> Iterator[Parameter]:
    match node:
        case Range(low, _, log, step, is_whole):
            kind: Literal["int", "float"] = "int" if is_whole else "float"
            yield Parameter(name, kind, (), low, node.last, log, step, condition)
        case Choice(options):
            yield Parameter(name, "choice", node.labels, condition=condition)
            for index, label in enumerate(node.labels):
                yield from _parameters(options[index], f"{name}[{index}]", f"{name} = {label}")
        case Settings(nodes):
            for key, inner in nodes:
                yield from _parameters(inner, f"{name}.{key}", condition)
        case Layers(depth, width):
            yield from _parameters(depth, f"{name}.depth", condition)
            yield from _parameters(width, f"{name}.width", f"{name}.depth > 0" if node.may_be_empty else condition)
