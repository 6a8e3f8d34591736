"""YAML text -> plain values, and where each stands.

What a config has no use for (anchors, aliases, tags, directives, several documents) is refused rather than
interpreted. The text is read event by event, so nothing is ever constructed or expanded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import yaml

from dlcli.config.scalars import read_scalar
from dlcli.config.tree import Document, Path, Place, Value, dotted
from dlcli.errors import ConfigError, Problem

MAX_DEPTH = 20
MAX_NODES = 2000  # a config with every setting has about 60 keys and values


def read_document(text: str, file: str, *, folder: str = "", may_be_empty: Collection[Path] = ()) -> Document:
    """Return the one mapping that `text` holds, and what is wrong with it; an empty text is an empty mapping.

    Args:
        text: YAML.
        file: What to call the text in messages.
        folder: What paths in it are relative to.
        may_be_empty: The keys behind which nothing has to stand; elsewhere a value was forgotten.

    Raises:
        ConfigError: If the syntax is broken, so that nothing after it can be read.
    """
    return _Reader(text, Place(file, folder=folder), may_be_empty=may_be_empty).document()


def read_value(text: str, place: Place, key: str) -> Value:
    """Return the value of an override's right-hand side, typed as in a file.

    Raises:
        ConfigError: If the text is not one YAML value, or empty: what an unset shell variable leaves.
    """
    return _Reader(text, place, key=key).value()


class _Reader:
    """Builds values from PyYAML's parser events, noting every problem it can read on after."""

    def __init__(self, text: str, where: Place, *, key: str = "", may_be_empty: Collection[Path] = ()) -> None:
        self._where = where
        self._lines = text.split("\n")
        self._key = key  # of an override, whose place is the command line
        self._may_be_empty = may_be_empty
        self._places: dict[Path, Place] = {}
        self._problems: list[Problem] = []
        self._nodes = 0
        self._events = self._parse(text)

    def document(self) -> Document:
        root = self._whole()
        if root is None:
            root = {}
        if not isinstance(root, dict):
            self._fail(self._at(1, 1), "must be a mapping of sections", "write it like `data: {name: digits}`")
        assert isinstance(root, dict)
        return Document(self._where.file, root, self._places, self._problems)

    def value(self) -> Value:
        value = self._whole()
        if not self._nodes:
            self._note_empty(self._where, ())
        self._raise_problems()
        return value

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        """Yield PyYAML's events; whatever it cannot read becomes one ConfigError."""
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
            self._fail(place, f"is not YAML: {_explain(error)}", _mend(error))
        except (ValueError, OverflowError):  # PyYAML lets chr() of an escape like \UFFFFFFFF through
            assert loader is not None
            self._fail(self._place(loader.get_mark()), "is not YAML: an escape that is no character", "delete it")

    def _whole(self) -> Value:
        value: Value = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if event.version or event.tags:
                    self._note(self._place(event.start_mark), (), "has a directive (%…)", "delete the line")
                if documents > 1:
                    self._note(
                        self._place(event.start_mark), (), "has a second document (---)", "a config is one document"
                    )
                    break
            elif isinstance(event, yaml.NodeEvent):
                value = self._value(event, (), self._place(event.start_mark))
        return value

    def _value(self, event: yaml.Event, path: Path, place: Place) -> Value:
        """Return what stands behind a key, which is at `place`; a value that was forgotten is a problem, not a null."""
        is_empty = isinstance(event, yaml.ScalarEvent) and not event.value and not event.style
        if is_empty and path not in self._may_be_empty and (path or self._key):
            self._note_empty(place, path)
        return self._node(event, path)

    def _note_empty(self, place: Place, path: Path) -> None:
        if path and isinstance(path[-1], int):
            hint = "write a value, or delete the entry"
        else:
            hint = f"write a value, or `{f'{path[-1]}: null' if path else f'{self._key}=null'}` for the default"
        self._note(place, path, "has no value", hint)

    def _node(self, event: yaml.Event, path: Path) -> Value:
        place = self._place(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._fail(place, f"has more than {MAX_NODES} keys and values", "a config has about 60")
        if isinstance(event, yaml.AliasEvent):
            self._note(place, path, "is an alias (*)", "write the value out")
            return None
        if getattr(event, "anchor", None):
            self._note(place, path, "has an anchor (&)", "delete it")
        if tag := getattr(event, "tag", None):
            self._note(place, path, f"has a tag ({tag})", "delete it")
        if len(path) > MAX_DEPTH:
            self._fail(place, f"is nested more than {MAX_DEPTH} levels deep", "a config has 2 levels")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        return self._scalar(event, path)

    def _mapping(self, path: Path) -> dict[str, Value]:
        mapping: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._place(event.start_mark)
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
                self._note(place, path, "has a merge key (<<)", "write the values out")
            key = self._node(event, (*path, "?"))
            if not isinstance(key, str):
                self._note(place, path, "has a key that is not a word", "keys are the names of settings")
                self._node(next(self._events), (*path, "?"))
                continue
            here = (*path, key)
            if key in mapping:
                first = self._places[here]
                self._note(place, here, f"is set twice; the first is in line {first.line}", "delete one of the two")
            self._places.setdefault(here, place)
            mapping[key] = self._value(next(self._events), here, place)
        return mapping

    def _sequence(self, path: Path) -> tuple[Value, ...]:
        values: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(values))
            self._places[here] = self._place(event.start_mark)
            values.append(self._value(event, here, self._places[here]))
        return tuple(values)

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Value:
        if any("\ud800" <= character <= "\udfff" for character in event.value):
            self._note(self._place(event.start_mark), path, "has an escape that is no character", "delete it")
            return None
        if event.style:  # quoted or a block: a string, whatever it looks like
            return str(event.value)
        try:
            return read_scalar(event.value)
        except ValueError as error:
            self._note(self._place(event.start_mark), path, str(error), "write a finite number, such as 1 or 0.1")
            return None

    def _place(self, mark: Any) -> Place:
        return self._at(mark.line + 1, mark.column + 1) if mark else self._at(1, 1)

    def _at(self, line: int, column: int) -> Place:
        if self._key:
            return self._where
        text = self._lines[line - 1].rstrip("\r") if line <= len(self._lines) else None
        return self._where._replace(line=line, column=column, text=text or None)

    def _note(self, place: Place, path: Path, what: str, hint: str | None = None) -> None:
        key = ".".join(part for part in (self._key, dotted(path)) if part)
        self._problems.append(place.problem(key, f"{key or 'the file'} {what}", hint))

    def _fail(self, place: Place, what: str, hint: str) -> None:
        self._note(place, (), what, hint)
        self._raise_problems()

    def _raise_problems(self) -> None:
        if self._problems:
            raise ConfigError(self._where.file, self._problems)


def _explain(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts) or "broken syntax"


def _mend(error: yaml.MarkedYAMLError) -> str:
    """Return what most often mends a broken syntax."""
    text = _explain(error)
    if "'\\t'" in text:
        return "indent with spaces, not with tabs"
    if "flow" in text:
        return "close the bracket, and put commas between the entries"
    if "quoted" in text:
        return "close the quotes"
    return "write `key: value`, a space after the colon, and indent a section's settings alike"
