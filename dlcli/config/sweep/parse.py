"""Reading of search spaces, with the location of every problem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from dlcli.config.compose import is_range
from dlcli.config.document import read_value
from dlcli.config.examples import show
from dlcli.config.paths import escape_path, resolve_path
from dlcli.config.render import render_value
from dlcli.config.schema import path_settings
from dlcli.config.suggest import all_settings
from dlcli.config.sweep.nodes import Choice, Fixed, Layers, Node, Range, Settings, canonical_json
from dlcli.config.sweep.ranges import RANGE_EXAMPLE, RANGE_KEYS, SIZES, Report, check_keys, read_range
from dlcli.config.tree import (
    COMMAND_LINE,
    Document,
    KeyPath,
    Value,
    delete_value,
    dotted,
    paths_below,
    set_value,
    value_at,
)
from dlcli.errors import ConfigError, Problem, UsageError

SPACE: KeyPath = ("sweep", "space")
_LAYER_KEYS = ("depth", "width")
_LAYERS_EXAMPLE = "{depth: [1, 2], width: {min: 16, max: 256, log: true}}"
_MOST_LAYERS = 1000


class Entry(NamedTuple):
    """Setting of a space with its values.

    Attributes:
        key: Path of the setting in the config.
        node: Values to try.
        at: Path of the values in the document, which has their locations.
        is_settled: Whether the setting can be checked: false if the choice of its section has a problem.
    """

    key: KeyPath
    node: Node
    at: KeyPath
    is_settled: bool = True


class _Written(NamedTuple):
    key: KeyPath
    value: Value
    at: KeyPath


def set_space(assignment: str, document: Document) -> None:
    """Set or replace one setting of the space, given as `KEY=VALUES`.

    If the assignment cannot be read, the setting gets no value and the document gets a problem.
    """
    key, value, problems = _read_assignment(assignment)
    document.problems += [replace(problem, key=dotted((*SPACE, key))) for problem in problems]
    section = document.tree["sweep"] = document.tree.get("sweep") or {}
    if not isinstance(section, dict):
        return  # reported as a problem of the settings of the sweep
    space = section["space"] = section.get("space") or {}
    if not isinstance(space, dict):
        return
    for replaced in [written.at for written in _flat(space, (), SPACE) if dotted(written.key) == key]:
        _delete(document, replaced)
    set_value(document, (*SPACE, key), value, dict.fromkeys(paths_below(value, (*SPACE, key)), COMMAND_LINE))


def _read_assignment(assignment: str) -> tuple[str, Value, list[Problem]]:
    """Return the setting and the values of `KEY=VALUES`, and the problems; if there are any, the values are None."""
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")) or not key.isprintable():
        message = f"{assignment!r} is not a setting with values"
        hint = f"write it like `--space 'optimizer.lr={RANGE_EXAMPLE}'`"
        return key, None, [COMMAND_LINE.problem(key, message, hint)]
    try:
        return key, read_value(text, COMMAND_LINE, key), []
    except ConfigError as error:
        return key, None, list(error.problems)


def _delete(document: Document, at: KeyPath) -> None:
    """Delete a value of the space, and the sections that are empty without it."""
    delete_value(document, at)
    if len(at) > len(SPACE) + 1 and not value_at(document.tree, at[:-1]):
        _delete(document, at[:-1])


def read_space(document: Document) -> tuple[list[Entry], list[Problem]]:
    """Return the settings of the space that have no problem, in alphabetical order, and the problems of the others."""
    report, entries, broken = Report(document), dict[KeyPath, Entry](), set[KeyPath]()
    section: Any = document.tree["sweep"]
    written = list(_flat(section["space"], (), SPACE))
    for key, value, at in _without_doubles(written, report):
        before = len(report.problems)
        entries[key] = Entry(key, _top(key, value, at, report), at)
        if len(report.problems) > before or value is None:
            broken.add(key)
    sound = [
        entry._replace(is_settled=broken.isdisjoint(_choices_above(key)))
        for key, entry in entries.items()
        if key not in broken
    ]
    return sorted(sound, key=lambda entry: dotted(entry.key)), report.problems


def _choices_above(key: KeyPath) -> list[KeyPath]:
    """Return the settings that can choose the variant of the section that contains a setting."""
    return [*(key[:length] for length in range(1, len(key))), (key[0], "name")]


def _flat(space: dict[str, Value], key: KeyPath, at: KeyPath) -> Iterator[_Written]:
    """Yield each setting of a space with its values and their path; sections may be nested or dotted."""
    for name, value in space.items():
        path = (*key, *name.split("."))
        if isinstance(value, dict) and value and not _has_values(path, value):
            yield from _flat(value, path, (*at, name))
        else:
            yield _Written(path, value, (*at, name))


def _has_values(key: KeyPath, value: dict[str, Value]) -> bool:
    """Return whether a mapping is a range or layers, not a section. Ranges without ends are ranges too."""
    is_setting = bool(value) and key in all_settings() and not any((*key, name) in all_settings() for name in value)
    return is_range(value) or _is_layers(key, value) or (is_setting and set(value) <= set(RANGE_KEYS))


def _is_layers(key: KeyPath, value: dict[str, Value]) -> bool:
    return key == SIZES and not set(_LAYER_KEYS).isdisjoint(value)


def _without_doubles(written: list[_Written], report: Report) -> list[_Written]:
    """Return each setting once, as the last file sets it. A setting that occurs twice in one file is a problem."""
    places, kept = report.document.places, dict[KeyPath, _Written]()
    for setting in written:
        first = kept.setdefault(setting.key, setting)
        if first is not setting and places[first.at].file == places[setting.at].file:
            message = f"is set twice, first on line {places[first.at].line}"
            report.add(setting.at, setting.key, message, "delete one of the two")
        kept[setting.key] = setting
    return list(kept.values())


def _top(key: KeyPath, value: Value, at: KeyPath, report: Report) -> Node:
    """Return the values of a setting of the space; a single value is a problem."""
    is_reported = dotted(at) in {problem.key for problem in report.document.problems}  # e.g. a missing value
    if (not isinstance(value, tuple | dict) or value == {}) and not is_reported:
        hint = f"write a list like `[{render_value(value)}, …]`, or set it outside of `sweep`"
        report.add(at, key, f"has a single value, {show(value)}, so there is nothing to try", hint)
    return _under_key(key, value, at, report)


def _under_key(key: KeyPath, value: Value, at: KeyPath, report: Report) -> Node:
    """Return the values of a setting: a list is a choice."""
    if not isinstance(value, tuple):
        return _option(key, value, at, report)
    if not value:
        hint = "write `[[]]` for the linear model alone" if key == SIZES else "write the values to try"
        report.add(at, key, "is an empty choice", hint)
    options = [_option(key, option, (*at, index), report) for index, option in enumerate(value)]
    texts = [canonical_json(option) for option in value]
    for index, text in enumerate(texts):
        if text in texts[:index]:
            first = texts.index(text) + 1
            message = f"has the same choice twice: entries {first} and {index + 1} are {text[:60]}"
            report.add((*at, index), key, message, "delete one of the two")
    return Choice(tuple(options))


def _option(key: KeyPath, value: Value, at: KeyPath, report: Report) -> Node:
    """Return one option of a choice, or the value of a setting of an option."""
    if isinstance(value, tuple):
        _check_list(key, value, at, report)
        return Fixed(value)
    if isinstance(value, str) and key in path_settings():
        return Fixed(_resolve(value, report.document.places[at].folder))
    if not isinstance(value, dict):
        return Fixed(value)
    if _is_layers(key, value):
        return _layers(key, value, at, report)
    if _has_values(key, value):
        return read_range(key, value, at, report)
    settings = sorted(value.items())
    return Settings(tuple((name, _under_key((*key, name), inner, (*at, name), report)) for name, inner in settings))


def _resolve(path: str, folder: str) -> str:
    """Make an existing path absolute, because trials run in any folder; keep other texts, such as names of runs."""
    try:
        resolved = resolve_path(path, folder, "the path")
    except UsageError:
        return path  # reported as a problem of the config of a trial
    return escape_path(resolved) if os.path.exists(resolved) else path


def _check_list(key: KeyPath, value: tuple[Value, ...], at: KeyPath, report: Report) -> None:
    """Add a problem for each range inside a list that is a single value, such as the sizes of layers."""
    for index, entry in enumerate(value):
        if isinstance(entry, dict):
            hint = f"write it like `{_LAYERS_EXAMPLE}`" if key == SIZES else "write each list of values to try in full"
            report.add((*at, index), key, "has a range inside a list that is one value", hint)


def _layers(key: KeyPath, value: dict[str, Value], at: KeyPath, report: Report) -> Node:
    before = len(report.problems)
    check_keys(key, value, at, _LAYER_KEYS, report)
    for name in _LAYER_KEYS:
        if name not in value:
            report.add(at, key, f"has no {name}", f"write it like `{_LAYERS_EXAMPLE}`")
    nodes = {name: _under_key((*key, name), value[name], (*at, name), report) for name in _LAYER_KEYS if name in value}
    depth, width = nodes.get("depth"), nodes.get("width")
    if len(report.problems) > before or depth is None or width is None:
        return Fixed(None)
    options = depth.options if isinstance(depth, Choice) else (depth,)
    if not all(map(_is_depth, options)):
        message = f"must be whole numbers from 0 to {_MOST_LAYERS}"
        report.add(
            (*at, "depth"), (*key, "depth"), message, "write it like `depth: [1, 2]` or `depth: {min: 0, max: 3}`"
        )
        return Fixed(None)
    assert isinstance(depth, Fixed | Range | Choice)
    return Layers(depth, width)


def _is_depth(option: Node) -> bool:
    ends = (
        (option.low, option.high)
        if isinstance(option, Range)
        else (option.value if isinstance(option, Fixed) else None,)
    )
    return all(type(end) is int and 0 <= end <= _MOST_LAYERS for end in ends)
