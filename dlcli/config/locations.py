"""Locations of pydantic's errors in a config."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from dlcli.config.schema import INIT_TAGS, ROOTS, Config, section_models, section_name
from dlcli.config.tree import KeyPath


def path_of(detail: ErrorDetails, tree: dict[str, Any]) -> KeyPath:
    """Return pydantic's location without the tags of unions, which are not keys of the config."""
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


def model_at(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the section model at pydantic's location; union tags select the variant."""
    model: type[BaseModel] = next((root for root in ROOTS if location[:1] and location[0] in root.model_fields), Config)
    candidates: tuple[type[BaseModel], ...] = ()
    for part in location:
        if part in INIT_TAGS:
            continue
        if candidates:
            tagged = [member for member in candidates if section_name(member) == part]
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
