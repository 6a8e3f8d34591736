"""Overrides that replace the variant of a section, such as the optimizer of a preset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from pydantic import BaseModel

from dlcli.config.examples import show
from dlcli.config.schema import DEFAULT_LOSS, Config, section_models, section_name
from dlcli.config.tree import COMMAND_LINE, Document, Value, delete_value, value_at
from dlcli.text import join

Variants: TypeAlias = Mapping[str, type[BaseModel]]


def read_variants(tree: dict[str, Value]) -> Variants:
    """Return the chosen variant of each section, except for sections whose name is missing or unknown."""
    losses = {str(task): loss for task, loss in DEFAULT_LOSS.items()}
    chosen: dict[str, type[BaseModel]] = {}
    for section, field in Config.model_fields.items():
        usual = losses.get(str(tree.get("task") or "classification")) if section == "loss" else None
        name = value_at(tree, (section, "name")) or usual or getattr(field.default, "name", None)
        for model in section_models(Config, section):
            if "name" in model.model_fields and section_name(model) == name:
                chosen[section] = model
    return chosen


@contextmanager
def changes_of_variants(document: Document) -> Iterator[None]:
    """Delete the settings of each variant that is replaced in this context, see `drop_settings_of`."""
    before = read_variants(document.tree)
    yield
    drop_settings_of(before, document)


def drop_settings_of(before: Variants, document: Document) -> None:
    """Delete the settings of a variant that overrides have replaced, and add a note about them to the document.

    A setting is kept if the new variant has it with the same default, because the setting then has the same meaning. A
    learning rate for SGD, for example, does not suit Adam. Settings from the command line are kept too.

    Args:
        before: Variants before the overrides.
        document: Document after the overrides; changed in place.
    """
    for section, new in read_variants(document.tree).items():
        old = before.get(section)
        if old in (None, new) or document.places.get((section, "name")) != COMMAND_LINE:
            continue
        settings = document.tree[section]
        assert old is not None
        assert isinstance(settings, dict)
        unfit = {key: value for key, value in settings.items() if key != "name" and _is_unfit(key, old, new)}
        dropped = {key: value for key, value in unfit.items() if document.places[section, key] != COMMAND_LINE}
        for key in dropped:
            delete_value(document, (section, key))
        if values := [f"{section}.{key}={show(value)}" for key, value in dropped.items() if value is not None]:
            verb = "is" if len(values) == 1 else "are"
            document.notes.append(
                f"{section}.name={section_name(new)}: {join(values)} of {document.file} {verb} for {section_name(old)} "
                "and not used"
            )


def _is_unfit(key: str, old: type[BaseModel], new: type[BaseModel]) -> bool:
    """Return whether a setting of the old variant does not suit the new one; unknown settings stay, to be reported."""
    if key not in old.model_fields:
        return False
    return key not in new.model_fields or old.model_fields[key].default != new.model_fields[key].default
