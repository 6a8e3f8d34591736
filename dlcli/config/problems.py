"""What pydantic found wrong, in our words: the place, what was expected, what was got, what to type instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dlcli.config.examples import example, show
from dlcli.config.rules import violations
from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.suggest import SOFTMAX_ADVICE, closest, unknown_key
from dlcli.config.tree import Document, Path, dotted, value_at
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


def problems_of(tree: dict[str, Any], document: Document) -> list[Problem]:
    """Return everything that keeps `tree` from being a Config; empty if nothing does.

    A section whose name is not known, or missing, is looked at once more under the name it is most like, so that the
    other mistakes in it are told too, a misspelt `name` among them.

    Args:
        tree: The values, without nulls.
        document: Where the values stand.
    """
    told = {problem.key for problem in document.problems}  # among them, entries of lists that could not be read
    details = [
        detail for detail in _validate(tree) if detail["input"] is not None or dotted(_path(detail, tree)) not in told
    ]
    problems = _translate_all(details, tree, document)
    if mended := _with_known_names(tree, details):
        known = [
            detail
            for detail in _validate(mended)
            if not (detail["type"] == "extra_forbidden" and _is_setting_of_another(detail))
        ]
        problems += _translate_all(known, mended, document)
    return list(dict.fromkeys(problems))


def broken_rules(tree: dict[str, Any], problems: Sequence[Problem], document: Document) -> list[Problem]:
    """Return the rules between settings that are broken, as far as the other problems let that be told.

    The settings with problems are left out; a rule that looks at one of them says nothing.

    Args:
        tree: The values, without nulls.
        problems: What is wrong with single settings.
        document: Where the values stand.
    """
    doubtful = {".".join(problem.key.split(".")[:2]) for problem in problems}
    sound = {
        section: {key: value for key, value in values.items() if f"{section}.{key}" not in doubtful}
        if isinstance(values, dict)
        else values
        for section, values in tree.items()
        if section not in doubtful
    }
    try:
        config = Config.model_validate(sound)
    except ValidationError:
        return []
    told = []
    for broken in violations(config):
        settings = (dotted(broken.path), *broken.because_of)
        sections = [name.split(".")[0] for name in settings]
        if doubtful.isdisjoint([*settings, *sections]):
            told.append(document.problem(broken.path, f"{dotted(broken.path)} {broken.message}", broken.hint))
    return told


def _validate(tree: dict[str, Any]) -> list[ErrorDetails]:
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _with_known_names(tree: dict[str, Any], details: list[ErrorDetails]) -> dict[str, Any]:
    """Return the tree with unknown and missing names of sections replaced by known ones; empty if all are known."""
    mended: dict[str, Any] = {}
    for detail in details:
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            section = str(detail["loc"][0])
            names = [section_name(one) for one in section_models(Config, section)]
            name = closest(str(detail.get("ctx", {}).get("tag", "")), names) or names[0]
            mended[section] = {**tree[section], "name": name}
    return {**tree, **mended} if mended else {}


def _is_setting_of_another(detail: ErrorDetails) -> bool:
    members = section_models(Config, str(detail["loc"][0]))
    return any(detail["loc"][-1] in one.model_fields for one in members)


def _translate_all(details: Sequence[ErrorDetails], tree: dict[str, Any], document: Document) -> list[Problem]:
    """Return one problem a setting: pydantic tells one for each entry of a list, and for each type there could be."""
    by_setting: dict[Path, list[ErrorDetails]] = {}
    for detail in details:
        by_setting.setdefault(_whole_list(_path(detail, tree)), []).append(detail)
    problems = []
    for setting, own in by_setting.items():
        entries = [detail for detail in own if _path(detail, tree) != setting]
        if len(own) == 1 or len(entries) == 1:  # with an entry that is wrong, it was meant as a list
            problems.append(_translate((entries or own)[0], tree, document))
        else:
            problems.append(_translate_several(setting, entries or own, tree, document, of_entries=bool(entries)))
    return problems


def _whole_list(path: Path) -> Path:
    """Return the path of the setting that `path`, perhaps an entry of its list, belongs to."""
    return next((path[:i] for i, part in enumerate(path) if isinstance(part, int)), path)


def _translate_several(
    setting: Path, details: Sequence[ErrorDetails], tree: dict[str, Any], document: Document, *, of_entries: bool
) -> Problem:
    """Return the one problem of a setting that is wrong in several entries, or by each type it could have."""
    expected = dict.fromkeys(_expected(detail).removeprefix("must be ") for detail in details)
    what = ", and ".join(expected) if of_entries else " or ".join(one.partition(", like")[0] for one in expected)
    value = value_at(tree, setting)
    message = f"{'each entry of ' if of_entries else ''}{dotted(setting)} must be {what}. Got {show(value)} instead"
    return document.problem(setting, message, example(setting, value))


def _translate(detail: ErrorDetails, tree: dict[str, Any], document: Document) -> Problem:
    path, kind = _path(detail, tree), detail["type"]
    match kind:
        case "extra_forbidden":
            return document.problem(path, *unknown_key(path, _model_at(detail["loc"][:-1])))
        case "missing" if isinstance(detail["loc"][-1], int):
            return document.problem(path, f"{dotted(path)} has too few entries", example(path, None))
        case "missing" | "union_tag_not_found":
            path = path if kind == "missing" else (*path, "name")
            hint = "add `data: {name: digits}`" if path[0] == "data" else None
            return document.problem(path, f"{dotted(path)} is missing", hint)
        case "union_tag_invalid":
            return _not_accepted((*path, "name"), kind, detail["ctx"]["tag"], detail, document)
        case _:
            return _not_accepted(path, kind, detail["input"], detail, document)


def _not_accepted(path: Path, kind: str, value: Any, detail: ErrorDetails, document: Document) -> Problem:
    """Return the problem of a value that is not what it must be, with a value that would do."""
    expected, hint = _expected(detail), example(path, value)
    if kind in ("union_tag_invalid", "literal_error"):
        choices = expected.removeprefix("must be ").removeprefix("one of ").split(", ")
        guess = closest(str(value), choices)
        if value == "softmax":
            hint = SOFTMAX_ADVICE
        elif guess:
            hint = f"did you mean `{dotted(path)}={guess}`?"
        else:
            hint = f"write it like `{dotted(path)}={choices[0]}`"
    return document.problem(path, f"{dotted(path)} {expected}. Got {show(value)} instead", hint)


def _expected(detail: ErrorDetails) -> str:
    """Return what a value must be."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind not in _EXPECTED:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    expected = _EXPECTED[kind].format(
        **{name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in context.items()}
    )
    if kind in ("union_tag_invalid", "literal_error"):
        expected = expected.replace("'", "").replace(" or ", ", ")
        if ", " not in expected:  # one choice alone
            expected = expected.replace("one of ", "")
    return expected


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
