"""Reading of the ranges of a search space."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dlcli.config.examples import show
from dlcli.config.schema import setting_owners
from dlcli.config.suggest import closest
from dlcli.config.sweep.nodes import Fixed, Node, Range
from dlcli.config.tree import Document, KeyPath, Value, dotted
from dlcli.errors import Problem

RANGE_KEYS = ("min", "max", "log", "step")
RANGE_EXAMPLE = "{min: 1e-3, max: 1, log: true}"
SIZES = ("model", "hidden_sizes")


@dataclass(frozen=True)
class Report:
    """Problems of a document."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def add(self, at: KeyPath, key: KeyPath, message: str, hint: str) -> None:
        """Add a problem of the setting `key` that is written at the path `at` of the document."""
        self.problems.append(self.document.problem(at, f"{dotted(key)} {message}", hint))


def read_range(key: KeyPath, value: dict[str, Value], at: KeyPath, report: Report) -> Node:
    """Return a range of numbers; if it has a problem, report the problem and return a placeholder."""
    before = len(report.problems)
    kind = _number_kind(key)
    if kind is None:
        hint = f"write a list of the values to try, like `{dotted(key)}: [A, B]`"
        report.add(at, key, "is not a number, so it has no range", hint)
        return Fixed(None)
    check_keys(key, value, at, RANGE_KEYS, report)
    _check_types(key, kind, value, at, report)
    if None in (value.get("min"), value.get("max")):  # one of them is missing or is no number
        return Fixed(None)
    if len(report.problems) == before:
        _check_ends(key, value, at, report)
        _check_step(key, value, at, report)
    if len(report.problems) > before:
        return Fixed(None)
    numbers: dict[str, Any] = value
    step = None if numbers.get("step") is None else kind(numbers["step"])
    return Range(kind(numbers["min"]), kind(numbers["max"]), numbers.get("log", False), step, kind is int)


def check_keys(key: KeyPath, value: dict[str, Value], at: KeyPath, known: tuple[str, ...], report: Report) -> None:
    """Add a problem for each unknown key of a mapping of the space."""
    for name in value:
        if name not in known:
            guess = closest(name, known)
            hint = f"did you mean `{guess}`?" if guess else f"use {', '.join(known)}"
            report.add((*at, name), (*key, name), "is not known", hint)


def _check_types(key: KeyPath, kind: type, value: dict[str, Value], at: KeyPath, report: Report) -> None:
    example = f"write it like `{'{min: 1, max: 8}' if kind is int else RANGE_EXAMPLE}`"
    for name in ("min", "max"):
        if name not in value:
            report.add(at, key, f"has a range without {name}", example)
    known = {problem.key for problem in report.document.problems}
    for name in ("min", "max", "step"):
        number = value.get(name, 1)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if number is None and dotted((*at, name)) in known:
            continue
        if not is_number or (kind is int and not isinstance(number, int)):
            requirement = "a whole number" if kind is int else "a number"
            report.add((*at, name), (*key, name), f"must be {requirement}. Got {show(number)} instead", example)
    if not isinstance(value.get("log", False), bool):
        message = f"must be true or false. Got {show(value['log'])} instead"
        report.add((*at, "log"), (*key, "log"), message, "write `log: true`")


def _check_ends(key: KeyPath, value: dict[str, Any], at: KeyPath, report: Report) -> None:
    low, high = value["min"], value["max"]
    if low == high:
        hint = f"write a larger max, or the single choice `[{low}]`"
        report.add((*at, "max"), key, f"has a range of a single value: min and max are {low}", hint)
    elif low > high:
        report.add((*at, "min"), key, f"has a min above its max: {low} > {high}", f"write `min: {high}, max: {low}`")
    elif value.get("log") and low <= 0:
        hint = "write a min above 0, or delete `log`"
        if low == 0:
            range_above = f"{{min: {high / 1000:g}, max: {high}, log: true}}"
            hint = f"write 0 as a separate choice: `[0, {range_above}]`"
        report.add((*at, "min"), key, f"has a logarithmic range from {low}, which must start above 0", hint)


def _check_step(key: KeyPath, value: dict[str, Any], at: KeyPath, report: Report) -> None:
    step = value.get("step")
    if step is None:
        return
    width = value["max"] - value["min"]
    if value.get("log"):
        message, hint = "has a step on a logarithmic scale", "delete `step` or `log`, or write a list of values"
    elif step <= 0:
        message, hint = f"has a step of {step}, which must be above 0", "delete `step` to try any number"
    elif step > width > 0:
        message, hint = f"has a step of {step}, which is larger than its range", f"write a step of at most {width:g}"
    else:
        return
    report.add((*at, "step"), key, message, hint)


@cache
def _number_kind(key: KeyPath) -> type[int] | type[float] | None:
    """Return the type of numbers that a setting accepts; None if it accepts no number. Unknown settings accept any."""
    if key[:2] == SIZES:
        return int
    owners = setting_owners(key)
    kinds = {kind for owner in owners for kind in _types(owner.model_json_schema()["properties"][str(key[-1])])}
    if "number" in kinds or not owners:
        return float
    return int if "integer" in kinds else None


def _types(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a schema allows for the value itself."""
    return {schema.get("type", "")}.union(*(_types(option) for option in schema.get("anyOf", ())))
