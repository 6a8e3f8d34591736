"""YAML parser that records the location of every value.

Configs need no anchors, aliases, tags, directives or multiple documents, so these are rejected. The parser works on
YAML events and never constructs or expands objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import yaml

from dlcli.config.scalars import read_scalar
from dlcli.config.tree import Document, KeyPath, Place, Value, dotted
from dlcli.errors import ConfigError, Problem

MAX_DEPTH = 20
MAX_NODES = 2000  # a config with every setting has about 60 keys and values


def read_document(text: str, file: str, *, folder: str = "", may_be_empty: Collection[KeyPath] = ()) -> Document:
    """Return the mapping in `text` together with its problems; an empty text is an empty mapping.

    Args:
        text: YAML text.
        file: Name of the text in messages.
        folder: Folder that paths in the text are relative to.
        may_be_empty: Paths of the keys that need no value; any other key without a value is a problem.

    Raises:
        ConfigError: If a syntax error prevents reading the rest of the text.
    """
    return _Reader(text, Place(file, folder=folder), may_be_empty=may_be_empty).document()


def read_value(text: str, place: Place, key: str) -> Value:
    """Return the value of an override, read like a value in a file.

    Raises:
        ConfigError: If the text is not a single YAML value, or is empty, e.g. due to an unset shell variable.
    """
    return _Reader(text, place, key=key).value()


class _Reader:
    """Builder of values from PyYAML's parser events; collects every problem that does not prevent further reading."""

    def __init__(self, text: str, origin: Place, *, key: str = "", may_be_empty: Collection[KeyPath] = ()) -> None:
        self._origin = origin
        self._lines = text.split("\n")
        self._key = key  # dotted key of an override; "" for a file
        self._may_be_empty = may_be_empty
        self._places: dict[KeyPath, Place] = {}
        self._problems: list[Problem] = []
        self._nodes = 0
        self._events = self._parse(text)

    def document(self) -> Document:
        root = self._read()
        if root is None:
            root = {}
        if not isinstance(root, dict):
            self._fail(self._at(1, 1), "must be a mapping of sections", "write it like `data: {name: digits}`")
        assert isinstance(root, dict)
        return Document(self._origin.file, root, self._places, self._problems)

    def value(self) -> Value:
        value = self._read()
        if not self._nodes:
            self._add_missing_value(self._origin, ())
        self._raise_problems()
        return value

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        """Yield PyYAML's events; raise a ConfigError for invalid syntax."""
        loader: yaml.SafeLoader | None = None
        try:
            loader = yaml.SafeLoader(text)
            while loader.check_event():
                yield loader.get_event()
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
            character = f"has a character YAML does not allow: #x{error.character:04x}"
            self._fail(self._at(line, column), character, "delete it")
        except yaml.MarkedYAMLError as error:
            place = self._place(error.problem_mark or error.context_mark)
            self._fail(place, f"is not valid YAML: {_explain(error)}", _syntax_hint(error))
        except (ValueError, OverflowError):  # PyYAML does not catch chr() errors of escapes such as \UFFFFFFFF
            assert loader is not None
            self._fail(self._place(loader.get_mark()), "is not valid YAML: invalid escape sequence", "delete it")

    def _read(self) -> Value:
        value: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if event.version or event.tags:
                    self._add_problem(self._place(event.start_mark), (), "has a directive (%…)", "delete the line")
                if documents > 1:
                    self._add_problem(
                        self._place(event.start_mark), (), "has a second document (---)", "keep only one document"
                    )
                    break
            elif isinstance(event, yaml.NodeEvent):
                value = self._value(event, (), self._place(event.start_mark))
        return value

    def _value(self, event: yaml.Event, path: KeyPath, place: Place) -> Value:
        """Return the value of the key at `place`. A key without a value is a problem, not null."""
        is_empty = isinstance(event, yaml.ScalarEvent) and not event.value and not event.style
        if is_empty and path not in self._may_be_empty and (path or self._key):
            self._add_missing_value(place, path)
        return self._node(event, path)

    def _add_missing_value(self, place: Place, path: KeyPath) -> None:
        if path and isinstance(path[-1], int):
            hint = "write a value, or delete the entry"
        else:
            hint = f"write a value, or `{f'{path[-1]}: null' if path else f'{self._key}=null'}` for the default"
        self._add_problem(place, path, "has no value", hint)

    def _node(self, event: yaml.Event, path: KeyPath) -> Value:
        place = self._place(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._fail(
                place,
                f"has more than {MAX_NODES} keys and values",
                "shorten it; a config with every setting has about 60",
            )
        if isinstance(event, yaml.AliasEvent):
            self._add_problem(place, path, "is an alias (*)", "write the value in full")
            return None
        if getattr(event, "anchor", None):
            self._add_problem(place, path, "has an anchor (&)", "delete the anchor")
        if tag := getattr(event, "tag", None):
            self._add_problem(place, path, f"has a tag ({tag})", "delete the tag")
        if len(path) > MAX_DEPTH:
            self._fail(
                place,
                f"is nested more than {MAX_DEPTH} levels deep",
                "use at most 2 levels, sections and their settings",
            )
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        return self._scalar(event, path)

    def _mapping(self, path: KeyPath) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._place(event.start_mark)
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
                self._add_problem(place, path, "has a merge key (<<)", "write the values in full")
            key = self._node(event, (*path, "?"))
            if not isinstance(key, str):
                self._add_problem(place, path, "has a key that is not a string", "use the name of a setting as the key")
                self._node(next(self._events), (*path, "?"))
                continue
            inner_path = (*path, key)
            if key in mapping:
                first = self._places[inner_path]
                self._add_problem(
                    place, inner_path, f"is set twice, first on line {first.line}", "delete one of the two"
                )
            self._places.setdefault(inner_path, place)
            mapping[key] = self._value(next(self._events), inner_path, place)
        return mapping

    def _sequence(self, path: KeyPath) -> tuple[Value, ...]:
        values: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            inner_path = (*path, len(values))
            self._places[inner_path] = self._place(event.start_mark)
            values.append(self._value(event, inner_path, self._places[inner_path]))
        return tuple(values)

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Value:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._add_problem(self._place(event.start_mark), path, "has an invalid escape sequence", "delete it")
            return None
        if event.style:  # quoted and block scalars are strings, even if they look like numbers
            return str(event.value)
        try:
            return read_scalar(event.value)
        except ValueError as error:
            self._add_problem(
                self._place(event.start_mark), path, str(error), "write a finite number, such as 1 or 0.1"
            )
            return None

    def _place(self, mark: Any) -> Place:
        return self._at(mark.line + 1, mark.column + 1) if mark else self._at(1, 1)

    def _at(self, line: int, column: int) -> Place:
        if self._key:
            return self._origin
        text = self._lines[line - 1].rstrip("\r") if line <= len(self._lines) else None
        return self._origin._replace(line=line, column=column, text=text or None)

    def _add_problem(self, place: Place, path: KeyPath, message: str, hint: str | None = None) -> None:
        key = ".".join(part for part in (self._key, dotted(path)) if part)
        self._problems.append(place.problem(key, f"{key or 'the file'} {message}", hint))

    def _fail(self, place: Place, message: str, hint: str) -> None:
        self._add_problem(place, (), message, hint)
        self._raise_problems()

    def _raise_problems(self) -> None:
        if self._problems:
            raise ConfigError(self._origin.file, self._problems)


def _explain(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts) or "invalid syntax"


def _syntax_hint(error: yaml.MarkedYAMLError) -> str:
    """Return the most common correction of a syntax error."""
    text = _explain(error)
    if "'\\t'" in text:
        return "indent with spaces, not with tabs"
    if "flow" in text:
        return "close the bracket, and put commas between the entries"
    if "quoted" in text:
        return "close the quotes"
    return "write `key: value` with a space after the colon, and indent all settings of a section equally"
