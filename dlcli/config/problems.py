"""What pydantic found wrong, in our words: the place, what was expected, what was got, what to type instead."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.source import Document, Path, dotted
from dlcli.errors import Problem

# What a value must be, by pydantic's type of error.
_EXPECTED = {
    "union_tag_invalid": "must be one of {expected_tags}",
    "literal_error": "must be one of {expected}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list, like [256, 128]",
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a section with settings of its own",
    "model_attributes_type": "must be a section with settings of its own",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "not_accepted": "must be {what}",
}


def problems_of(error: ValidationError, tree: dict[str, Any], document: Document) -> list[Problem]:
    """Return every problem that pydantic found, in the order of the file, the command line's last.

    Args:
        error: From validating `tree`.
        tree: The values, without nulls.
        document: Where the values stand.
    """
    problems = [_translate(detail, tree, document) for detail in error.errors(include_url=False)]
    problems.sort(key=lambda problem: (problem.line is None, problem.line or 0, problem.column or 0))
    return list(dict.fromkeys(problems))


def _translate(detail: ErrorDetails, tree: dict[str, Any], document: Document) -> Problem:
    path, kind = _path(detail, tree), detail["type"]
    match kind:
        case "extra_forbidden":
            return document.problem(path, f"{dotted(path)} is not a setting", _did_you_mean_key(path, detail["loc"]))
        case "missing" | "union_tag_not_found":
            path = path if kind == "missing" else (*path, "name")
            hint = "add `data: {name: digits}`" if path[0] == "data" else None
            return document.problem(path, f"{dotted(path)} is missing", hint)
        case "union_tag_invalid":
            path = (*path, "name")
            return _not_accepted(path, kind, detail["ctx"]["tag"], detail, document)
        case _:
            return _not_accepted(path, kind, detail["input"], detail, document)


def _not_accepted(path: Path, kind: str, value: Any, detail: ErrorDetails, document: Document) -> Problem:
    """Return the problem of a value that is not what it must be; a choice close to it becomes the hint."""
    context = {
        name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in detail.get("ctx", {}).items()
    }
    expected = _EXPECTED.get(kind, detail["msg"][:1].lower() + detail["msg"][1:]).format(**context)
    hint = None
    if kind in ("union_tag_invalid", "literal_error"):
        expected = expected.replace("'", "").replace(" or ", ", ")
        choices = expected.removeprefix("must be one of ").split(", ")
        guess = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"did you mean `{dotted(path)}={guess[0]}`?" if guess else None
    return document.problem(path, f"{dotted(path)} {expected}. Got {_show(value)} instead", hint)


def _did_you_mean_key(path: Path, location: tuple[int | str, ...]) -> str | None:
    model = _model_at(location[:-1])
    guess = difflib.get_close_matches(str(path[-1]), model.model_fields if model else (), n=1)
    return f"did you mean `{dotted((*path[:-1], guess[0]))}`?" if guess else None


def _path(detail: ErrorDetails, tree: dict[str, Any]) -> Path:
    """Return pydantic's location without the tags of unions, which are no keys of the config."""
    path: list[str | int] = []
    branch: Any = tree
    location = detail["loc"]
    for index, part in enumerate(location):
        last_and_missing = index == len(location) - 1 and detail["type"] == "missing"
        if isinstance(branch, dict) and (part in branch or last_and_missing):
            path.append(part)
            branch = branch.get(str(part))
        elif isinstance(branch, tuple) and isinstance(part, int) and part < len(branch):
            path.append(part)
            branch = branch[part]
    return tuple(path)


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the section that stands at pydantic's location; union tags choose the member."""
    model: type[BaseModel] = Config
    candidates: tuple[type[BaseModel], ...] = ()
    for part in location:
        if candidates:
            tagged = [one for one in candidates if section_name(one) == part]
            if not tagged:
                return None
            model, candidates = tagged[0], ()
            continue
        if part not in model.model_fields:
            return None
        members = section_models(model, str(part))
        if len(members) > 1:
            candidates = members
        elif members:
            model = members[0]
    return None if candidates else model


def _show(value: Any) -> str:
    """Return a value as a user would write it, short."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (tuple, list)):
        text = "[" + ", ".join(_show(one) for one in value) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
