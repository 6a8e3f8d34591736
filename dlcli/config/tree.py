"""A config as it was written: nested values, and where each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dlcli.errors import Problem

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | dict[str, Value] | None"


def dotted(path: Path) -> str:
    """Return the name of a setting as users write it: `optimizer.lr`."""
    return ".".join(str(part) for part in path)


class Place(NamedTuple):
    """Where something stands; line and column count from 1, and `text` is the whole line.

    Paths that are written there are relative to `folder`; "" is the working folder.
    """

    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    folder: str = ""

    def problem(self, key: str, message: str, hint: str | None = None) -> Problem:
        """Return a Problem at this place."""
        return Problem(self.file, self.line, self.column, key, message, hint, self.text)


@dataclass
class Document:
    """A config as it was written.

    Attributes:
        file: What it is called in messages.
        tree: The values, nested as in the text; sequences are tuples.
        places: For each key's path, where the key stands.
        problems: What was wrong, but could be read past.
    """

    file: str
    tree: dict[str, Value] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def places_below(self, path: Path) -> dict[Path, Place]:
        """Return where `path` and its parts stand."""
        return {inner: place for inner, place in self.places.items() if inner[: len(path)] == path}

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """Return a problem at the innermost part of `path` that was written down, else at the file's beginning."""
        written = (self.places[path[:length]] for length in range(len(path), 0, -1) if path[:length] in self.places)
        return next(written, Place(self.file, 1, 1)).problem(dotted(path), message, hint)


def value_at(tree: dict[str, Value], path: Path) -> Value:
    """Return what stands at `path`; None where nothing does."""
    value: Value = tree
    for part in path:
        value = value.get(str(part)) if isinstance(value, dict) else None
    return value


def set_value(document: Document, path: Path, value: Value, places: Mapping[Path, Place]) -> None:
    """Set a value whose parents are sections, and forget where the parts of the old one stood."""
    parent = value_at(document.tree, path[:-1])
    assert isinstance(parent, dict)
    parent[str(path[-1])] = value
    for known in document.places_below(path):
        del document.places[known]
    document.places.update(places)


def paths_below(value: Value, path: Path) -> list[Path]:
    """Return `path` and the path of every part of the value that stands there."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    return [path, *(inner for key, child in children for inner in paths_below(child, (*path, key)))]
