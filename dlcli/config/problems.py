"""Validation of configs, with pydantic's errors translated into problems with a place and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlcli.config.examples import example, show
from dlcli.config.locations import model_at, path_of
from dlcli.config.rules import violations
from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.suggest import SOFTMAX_HINT, closest, unknown_key
from dlcli.config.tree import Document, KeyPath, dotted, value_at
from dlcli.errors import Problem

ModelT = TypeVar("ModelT", bound=BaseModel)

# Requirements in messages, by pydantic's error type.
_EXPECTED = {
    "union_tag_invalid": "must be one of {expected_tags}",
    "literal_error": "must be one of {expected}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, like [256, 128]",
    "missing": "must be a list of 2 entries",  # only entries of lists get here
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a section with settings",
    "model_attributes_type": "must be a section with settings",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "not_accepted": "must be {requirement}",
}


def validate(
    tree: dict[str, Any], document: Document, problems: Sequence[Problem]
) -> tuple[Config | None, list[Problem]]:
    """Return the config that `tree` describes and all its problems; the config is None if a setting is invalid.

    Args:
        tree: Values without nulls.
        document: Document with the location of each value.
        problems: Problems found while the document was read.
    """
    config, details = _validate(tree, Config)
    found = [*problems, *_find_problems(tree, details, document)]
    if found:
        return config, found + _find_broken_rules(_without_problems(tree, found), found, document)
    return config, _find_broken_rules(config, found, document)


def validate_settings(
    root: type[ModelT], tree: dict[str, Any], document: Document
) -> tuple[ModelT | None, list[Problem]]:
    """Return the settings that `tree` describes and all its problems; the settings are None if one is invalid.

    Args:
        root: Model of the whole tree.
        tree: Values without nulls.
        document: Document with the location of each value.
    """
    settings, details = _validate(tree, root)
    return settings, _find_problems(tree, details, document)


def _find_problems(tree: dict[str, Any], details: Sequence[ErrorDetails], document: Document) -> list[Problem]:
    """Return every validation error of `tree` as a problem.

    A section with an unknown or missing name is validated again under the most similar name, so that its other errors
    are reported too, including a misspelt `name` key.
    """
    reported = {problem.key for problem in document.problems}  # may include unreadable entries of lists
    details = [
        detail for detail in details if detail["input"] is not None or dotted(path_of(detail, tree)) not in reported
    ]
    problems = _translate_all(details, tree, document)
    if corrected := _with_known_names(tree, details):
        further = [
            detail
            for detail in _validate(corrected, Config)[1]
            if not (detail["type"] == "extra_forbidden" and _is_setting_of_any_variant(detail))
        ]
        problems += _translate_all(further, corrected, document)
    return list(dict.fromkeys(problems))


def _find_broken_rules(config: Config | None, problems: Sequence[Problem], document: Document) -> list[Problem]:
    """Return a problem for each violated rule between settings; rules that depend on an invalid setting are skipped."""
    if config is None:
        return []
    invalid = _invalid_settings(problems)
    broken = []
    for rule in violations(config):
        settings = (dotted(rule.path), *rule.depends_on)
        sections = [name.split(".")[0] for name in settings]
        if invalid.isdisjoint([*settings, *sections]):
            broken.append(document.problem(rule.path, f"{dotted(rule.path)} {rule.message}", rule.hint))
    return broken


def _without_problems(tree: dict[str, Any], problems: Sequence[Problem]) -> Config | None:
    """Return the config without the settings that have problems; None if the remaining settings are invalid too."""
    invalid = _invalid_settings(problems)
    valid = {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in invalid}
        if isinstance(values, dict)
        else values
        for section, values in tree.items()
        if section not in invalid
    }
    return _validate(valid, Config)[0]


def _invalid_settings(problems: Sequence[Problem]) -> set[str]:
    return {".".join(problem.key.split(".")[:2]) for problem in problems}


def _validate(tree: dict[str, Any], root: type[ModelT]) -> tuple[ModelT | None, list[ErrorDetails]]:
    try:
        return root.model_validate(tree), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _with_known_names(tree: dict[str, Any], details: Sequence[ErrorDetails]) -> dict[str, Any]:
    """Return the tree with unknown and missing section names replaced by known names; empty if all names are known."""
    corrected: dict[str, Any] = {}
    for detail in details:
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found") and len(detail["loc"]) == 1:
            section = str(detail["loc"][0])
            names = [section_name(member) for member in section_models(Config, section)]
            name = closest(str(detail.get("ctx", {}).get("tag", "")), names) or names[0]
            corrected[section] = {**tree[section], "name": name}
    return {**tree, **corrected} if corrected else {}


def _is_setting_of_any_variant(detail: ErrorDetails) -> bool:
    members = section_models(Config, str(detail["loc"][0]))
    return any(detail["loc"][-1] in member.model_fields for member in members)


def _translate_all(details: Sequence[ErrorDetails], tree: dict[str, Any], document: Document) -> list[Problem]:
    """Return one problem per setting; pydantic reports one error per list entry and per allowed type."""
    by_setting: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        by_setting.setdefault(_whole_list(path_of(detail, tree)), []).append(detail)
    problems = []
    for setting, errors in by_setting.items():
        entries = [detail for detail in errors if path_of(detail, tree) != setting]
        if len(errors) == 1 or len(entries) == 1:  # an invalid entry shows that a list was intended
            problems.append(_translate((entries or errors)[0], tree, document))
        else:
            problems.append(_translate_several(setting, entries or errors, tree, document, of_entries=bool(entries)))
    return problems


def _whole_list(path: KeyPath) -> KeyPath:
    """Return the path of the setting that `path` belongs to; `path` may be an entry of a list."""
    return next((path[:i] for i, part in enumerate(path) if isinstance(part, int)), path)


def _translate_several(
    setting: KeyPath, details: Sequence[ErrorDetails], tree: dict[str, Any], document: Document, *, of_entries: bool
) -> Problem:
    """Return one problem for a setting with several invalid entries or without a matching type."""
    expected = dict.fromkeys(_expected(detail).removeprefix("must be ") for detail in details)
    requirement = (
        ", and ".join(expected) if of_entries else " or ".join(text.partition(", like")[0] for text in expected)
    )
    value = value_at(tree, setting)
    message = (
        f"{'each entry of ' if of_entries else ''}{dotted(setting)} must be {requirement}. Got {show(value)} instead"
    )
    return document.problem(setting, message, example(setting, value))


def _translate(detail: ErrorDetails, tree: dict[str, Any], document: Document) -> Problem:
    path, kind = path_of(detail, tree), detail["type"]
    match kind:
        case "extra_forbidden":
            return document.problem(path, *unknown_key(path, model_at(detail["loc"][:-1])))
        case "missing" if isinstance(detail["loc"][-1], int):
            return document.problem(path, f"{dotted(path)} must have 2 entries", example(path, None))
        case "missing" | "union_tag_not_found":
            path = path if kind == "missing" else (*path, "name")
            hint = "add `data: {name: digits}`" if path[0] == "data" else None
            return document.problem(path, f"{dotted(path)} is missing", hint)
        case "union_tag_invalid":
            return _not_accepted((*path, "name"), kind, detail["ctx"]["tag"], detail, document)
        case _:
            return _not_accepted(path, kind, detail["input"], detail, document)


def _not_accepted(path: KeyPath, kind: str, value: Any, detail: ErrorDetails, document: Document) -> Problem:
    """Return the problem of an invalid value, with a valid value as the hint."""
    expected, hint = _expected(detail), example(path, value)
    if kind in ("union_tag_invalid", "literal_error"):
        choices = expected.removeprefix("must be ").removeprefix("one of ").split(", ")
        guess = closest(str(value), choices)
        if value == "softmax":
            hint = SOFTMAX_HINT
        elif guess:
            hint = f"did you mean `{dotted(path)}={guess}`?"
        else:
            hint = f"write it like `{dotted(path)}={choices[0]}`"
    return document.problem(path, f"{dotted(path)} {expected}. Got {show(value)} instead", hint)


def _expected(detail: ErrorDetails) -> str:
    """Return the requirement that a value violates."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind not in _EXPECTED:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    expected = _EXPECTED[kind].format(
        **{name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in context.items()}
    )
    if kind in ("union_tag_invalid", "literal_error"):
        expected = expected.replace("'", "").replace(" or ", ", ")
        if ", " not in expected:  # a single choice
            expected = expected.replace("one of ", "")
    return expected
