"""Unvalidated configs: nested values with the location of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dlcli.errors import Problem

KeyPath: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | dict[str, Value] | None"


def dotted(path: KeyPath) -> str:
    """Return the dotted name of a setting, e.g. `optimizer.lr`."""
    return ".".join(str(part) for part in path)


class Place(NamedTuple):
    """Location of a key or value. Lines and columns count from 1; `text` is the whole line.

    File system paths written at this place are relative to `folder`; "" is the working folder.
    """

    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    folder: str = ""

    def problem(self, key: str, message: str, hint: str | None = None) -> Problem:
        """Return a Problem at this place."""
        return Problem(self.file, self.line, self.column, key, message, hint, self.text)


COMMAND_LINE = Place("command line")


@dataclass
class Document:
    """Config as it was written, before validation.

    Attributes:
        file: Name of the config in messages.
        tree: Nested values; sequences are tuples.
        places: Location of each key and list entry, by path.
        problems: Problems that did not prevent reading the rest.
        notes: Notes for the user about what was read.
    """

    file: str
    tree: dict[str, Value] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def copy(self) -> Document:
        """Return a copy that can be changed."""
        return Document(self.file, _copy(self.tree), dict(self.places), list(self.problems), list(self.notes))

    def places_below(self, path: KeyPath) -> dict[KeyPath, Place]:
        """Return the locations of `path` and of everything below it."""
        return {inner: place for inner, place in self.places.items() if inner[: len(path)] == path}

    def problem(self, path: KeyPath, message: str, hint: str | None = None) -> Problem:
        """Return a problem at the innermost written part of `path`, or at the start of the file."""
        written = (self.places[path[:length]] for length in range(len(path), 0, -1) if path[:length] in self.places)
        return next(written, Place(self.file, 1, 1)).problem(dotted(path), message, hint)


def _copy(tree: dict[str, Value]) -> dict[str, Value]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in tree.items()}


def value_at(tree: dict[str, Value], path: KeyPath) -> Value:
    """Return the value at `path`; None if it does not exist."""
    value: Value = tree
    for part in path:
        value = value.get(str(part)) if isinstance(value, dict) else None
    return value


def set_value(document: Document, path: KeyPath, value: Value, places: Mapping[KeyPath, Place]) -> None:
    """Set a value whose parents are sections, and replace the locations of the old value."""
    parent = value_at(document.tree, path[:-1])
    assert isinstance(parent, dict)
    parent[str(path[-1])] = value
    for old_path in document.places_below(path):
        del document.places[old_path]
    document.places.update(places)


def delete_value(document: Document, path: KeyPath) -> None:
    """Delete a setting of a section, with its location."""
    parent = value_at(document.tree, path[:-1])
    assert isinstance(parent, dict)
    del parent[str(path[-1])]
    for old_path in document.places_below(path):
        del document.places[old_path]


def paths_below(value: Value, path: KeyPath) -> list[KeyPath]:
    """Return `path` and the paths of everything below it in `value`."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    return [path, *(inner for key, child in children for inner in paths_below(child, (*path, key)))]
