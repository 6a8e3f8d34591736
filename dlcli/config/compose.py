"""What a config is put together from: files that extend one another, overrides, settings by their old names."""

from __future__ import annotations

import os
from typing import Any

from dlcli.config.document import read_document, read_value
from dlcli.config.files import Source, is_path, read_source
from dlcli.config.paths import expand_path, resolve_path
from dlcli.config.presets import presets
from dlcli.config.schema import RENAMED, path_settings, sections
from dlcli.config.suggest import all_settings
from dlcli.config.tree import Document, Path, Place, Value, dotted, paths_below, set_value, value_at
from dlcli.errors import ConfigError, Problem, UsageError

COMMAND_LINE = Place("command line")
MAX_CHAIN = 20  # files that extend one another


def read_with_bases(source: Source, chain: tuple[str, ...] = ()) -> Document:
    """Return the document with what it extends merged in beneath it.

    Args:
        source: The config's text, name and folder.
        chain: The files that led here.
    """
    file = source.name
    document = read_document(source.text, file, folder=source.folder, may_be_empty=sections())
    place = document.places.pop(("extends",), None)
    extended = document.tree.pop("extends", None)
    if place is None or extended is None:
        return document
    chain = (*chain, file)
    try:
        beneath = _read_base(extended, source.folder)
        if os.path.realpath(beneath.name) in map(os.path.realpath, chain):
            circle = " → ".join((*chain, beneath.name))
            raise UsageError(f"extends goes in a circle: {circle}", hint="let one of them extend nothing")
        if len(chain) >= MAX_CHAIN:
            raise UsageError(f"extends goes through more than {MAX_CHAIN} files", hint="write fewer, larger files")
        base = read_with_bases(beneath, chain)
    except ConfigError:
        raise
    except UsageError as error:
        raise ConfigError(file, [*document.problems, place.problem("extends", error.message, error.hint)]) from error
    base.file = file
    base.problems += document.problems
    for key in document.tree:
        _merge(base, document, (key,))
    return base


def _read_base(extended: Value, folder: str) -> Source:
    if not isinstance(extended, str):
        hint = "write it like `extends: base.yaml`"
        raise UsageError("extends must be the path of a file, or a preset's name", hint=hint)
    extended = expand_path(extended, "extends")
    beside = os.path.join(folder, extended)
    is_file = is_path(extended) or (extended not in presets() and os.path.exists(beside))
    return read_source(beside if is_file else extended)


def _merge(base: Document, above: Document, path: Path) -> None:
    """Put what `above` has at `path` over what `base` has there: sections key by key, all else as a whole."""
    value, beneath = value_at(above.tree, path), value_at(base.tree, path)
    if isinstance(value, dict) and isinstance(beneath, dict):
        base.places[path] = above.places[path]
        for key in value:
            _merge(base, above, (*path, key))
    else:
        set_value(base, path, value, above.places_below(path))


def apply_override(override: str, document: Document) -> None:
    """Set a `key=value` in the document; what is wrong with it is noted there."""
    key, equals, text = override.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path) or not key.isprintable():
        message = f"{override!r} is not an override"
        document.problems.append(COMMAND_LINE.problem(key, message, "write it like `optimizer.lr=0.5`"))
        return
    try:
        value = read_value(text, COMMAND_LINE, key)
    except ConfigError as error:
        document.problems += error.problems
        return
    for length in range(1, len(path)):
        parent = value_at(document.tree, path[:length])
        if parent is None:
            set_value(document, path[:length], {}, {path[:length]: COMMAND_LINE})
        elif not isinstance(parent, dict):
            message = f"{key} cannot be set: {dotted(path[:length])} is a single value"
            document.problems.append(COMMAND_LINE.problem(key, message, f"`{path[0]}=null` takes it back first"))
            return
    set_value(document, path, value, dict.fromkeys(paths_below(value, path), COMMAND_LINE))


def rename_settings(document: Document) -> list[Problem]:
    """Move settings from their old names to their new ones, and return a warning for each."""
    warnings: list[Problem] = []
    for old, new in RENAMED.items():
        old_path, new_path = tuple(old.split(".")), tuple(new.split("."))
        parent = value_at(document.tree, old_path[:-1])
        if not isinstance(parent, dict) or old_path[-1] not in parent:
            continue
        value, place = parent.pop(old_path[-1]), document.places.pop(old_path)
        if value_at(document.tree, new_path) is not None:
            message = f"{old} is the old name of {new}, which is set too"
            document.problems.append(place.problem(old, message, f"delete `{old}`"))
            continue
        warnings.append(place.problem(old, f"{old} is now called {new}", f"write `{new}`; the old name will go"))
        if not isinstance(value_at(document.tree, new_path[:-1]), dict):
            set_value(document, new_path[:-1], {}, {})
        set_value(document, new_path, value, {new_path: place})
    return warnings


def without_nulls(tree: dict[str, Value], path: Path = ()) -> dict[str, Any]:
    """Return the tree without nulls: a null setting is a setting left out. What is no setting stays, to be told."""
    return {
        key: without_nulls(value, (*path, key)) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None or (*path, key) not in all_settings()
    }


def resolve_paths(tree: dict[str, Any], document: Document) -> list[Problem]:
    """Make the paths in `tree` absolute, and return a problem for each that cannot be.

    Args:
        tree: The values, without nulls.
        document: Where the values stand, and with that what they are relative to.
    """
    problems: list[Problem] = []
    for path in path_settings():
        written = value_at(tree, path)
        if isinstance(written, str):
            try:
                tree[str(path[0])][path[-1]] = resolve_path(written, document.places[path].folder, dotted(path))
            except UsageError as error:
                problems.append(document.problem(path, error.message, error.hint))
    return problems
