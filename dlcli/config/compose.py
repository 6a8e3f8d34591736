"""Composition of a config from base files, overrides and renamed settings."""

from __future__ import annotations

import os
import re
from typing import Any

from dlcli.config.document import read_document, read_value
from dlcli.config.files import Source, is_path, read_source
from dlcli.config.paths import expand_path, resolve_path
from dlcli.config.presets import presets
from dlcli.config.schema import is_run_setting, path_settings, sections
from dlcli.config.suggest import all_settings
from dlcli.config.tree import COMMAND_LINE, Document, KeyPath, Value, dotted, paths_below, set_value, value_at
from dlcli.errors import ConfigError, Problem, UsageError

MAX_CHAIN = 20  # files in one chain of `extends`


def read_with_bases(source: Source, chain: tuple[str, ...] = ()) -> Document:
    """Return the document of a config, merged over the files that it extends.

    Args:
        source: Text, name and folder of the config.
        chain: Names of the files whose `extends` led to this config.
    """
    file = source.name
    document = read_document(source.text, file, folder=source.folder, may_be_empty=sections())
    place = document.places.pop(("extends",), None)
    extended = document.tree.pop("extends", None)
    if place is None or extended is None:
        return document
    chain = (*chain, file)
    try:
        base_source = _read_base(extended, source.folder)
        if os.path.realpath(base_source.name) in map(os.path.realpath, chain):
            cycle = " → ".join((*chain, base_source.name))
            raise UsageError(f"extends forms a cycle: {cycle}", hint="remove `extends` from one of these files")
        if len(chain) >= MAX_CHAIN:
            raise UsageError(f"extends leads through more than {MAX_CHAIN} files", hint="merge some of these files")
        base = read_with_bases(base_source, chain)
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
        raise UsageError("extends must be the path of a file or the name of a preset", hint=hint)
    extended = expand_path(extended, "extends")
    in_folder = os.path.join(folder, extended)
    is_file = is_path(extended) or (extended not in presets() and os.path.exists(in_folder))
    return read_source(in_folder if is_file else extended)


def _merge(base: Document, top: Document, path: KeyPath) -> None:
    """Merge `top` into `base` at `path`: sections key by key, other values, such as ranges of a sweep, as a whole."""
    value, base_value = value_at(top.tree, path), value_at(base.tree, path)
    if isinstance(value, dict) and isinstance(base_value, dict) and not is_range(value):
        base.places[path] = top.places[path]
        for key in value:
            _merge(base, top, (*path, key))
    else:
        set_value(base, path, value, top.places_below(path))


def is_range(value: Value) -> bool:
    """Return whether a value is a range of a sweep, such as `{min: 1, max: 4}`."""
    return isinstance(value, dict) and not {"min", "max"}.isdisjoint(value)


def apply_override(override: str, document: Document) -> None:
    """Apply an override `key=value` to the document; if it is invalid, add a problem to the document."""
    key, equals, text = override.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path) or not key.isprintable():
        message = f"{override!r} is not an override"
        document.problems.append(COMMAND_LINE.problem(key, message, "write it like `optimizer.lr=0.5`"))
        return
    try:
        value = read_value(_as_yaml(key, text), COMMAND_LINE, key)
    except ConfigError as error:
        document.problems += error.problems
        return
    set_override(document, path, value)


def set_override(document: Document, path: KeyPath, value: Value) -> None:
    """Set a value in the document with the command line as its location.

    If a parent of the setting is a single value, add a problem to the document instead.
    """
    for length in range(1, len(path)):
        parent = value_at(document.tree, path[:length])
        gives_way = length > 1 and path[: length + 1] in all_settings()  # a name, which a mapping may replace
        if parent is None or (gives_way and not isinstance(parent, dict)):
            set_value(document, path[:length], {}, {path[:length]: COMMAND_LINE})
        elif not isinstance(parent, dict):
            message = f"{dotted(path)} cannot be set: {dotted(path[:length])} is a single value"
            hint = f"put `{path[0]}=null` before this override to reset it"
            document.problems.append(COMMAND_LINE.problem(dotted(path), message, hint))
            return
    set_value(document, path, value, dict.fromkeys(paths_below(value, path), COMMAND_LINE))


def _as_yaml(key: str, text: str) -> str:
    """Return the YAML of a value on the command line.

    This adds the brackets of a list of sizes or columns, which the user may leave out as in `64,32`, and the quotes of
    `data.decimal=","`, which the shell removes.
    """
    if key in ("data.decimal", "data.separator") and (len(text) == 1 or text == "\\t"):
        return f'"{text}"'
    if key in ("data.features", "data.ignore") and text.strip() and text.lstrip()[0] not in "[{":
        return f"[{text}]" if text.strip() not in ("null", "~") else text
    return f"[{text}]" if key in ("model.hidden_sizes", "data.size") and re.fullmatch(r"\d+(,\d+)*", text) else text


def without_nulls(tree: dict[str, Value], path: KeyPath = ()) -> dict[str, Any]:
    """Return the tree without settings that are null. Unknown keys stay, so that they are reported."""
    return {
        key: without_nulls(value, (*path, key)) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None or (*path, key) not in all_settings()
    }


def resolve_paths(tree: dict[str, Any], document: Document) -> list[Problem]:
    """Make the file system paths in `tree` absolute and return a problem for each path that cannot be resolved.

    The name of a run stays a name, unless a file or folder of this name exists.

    Args:
        tree: Values without nulls; changed in place.
        document: Document with the location of each value, which includes the folder that a path is relative to.
    """
    problems: list[Problem] = []
    for path in path_settings():
        written = value_at(tree, path)
        if isinstance(written, str):
            try:
                resolved = resolve_path(written, document.places[path].folder, dotted(path))
                is_name = is_run_setting(path) and not os.path.exists(resolved)
                section: Any = value_at(tree, path[:-1])
                section[path[-1]] = expand_path(written) if is_name else resolved
            except UsageError as error:
                problems.append(document.problem(path, error.message, error.hint))
    return problems
