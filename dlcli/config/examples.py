"""A setting as a user would write it: what was got, and what would do instead."""

from __future__ import annotations

from typing import Any

from dlcli.config.render import render_value
from dlcli.config.schema import Config, section_models, section_name
from dlcli.config.suggest import closest
from dlcli.config.tree import Path, dotted

# Values to show where the default is not the one that a user who sets this is after.
_USUAL = {
    "name": "my-run",
    "data": "digits",  # a section is shown by a name
    "data.root": "DIR",
    "model.dropout": "0.5",
    "loss.class_weights": "balanced",
    "optimizer.momentum": "0.9",
    "optimizer.nesterov": "true",
    "optimizer.weight_decay": "1e-4",
    "scheduler.warmup_epochs": "1",
    "training.gradient_clip_norm": "1.0",
    "early_stopping.patience": "5",
}


def example(path: Path, value: Any) -> str:
    """Return a line that would do instead: a usual value, the default, or a section of the name given."""
    path = tuple(part for part in path if isinstance(part, str))  # a list is written as a whole
    members = section_models(Config, str(path[0]))
    if len(path) == 1 and len(members) > 1:  # a section's name where the section should be
        names = [section_name(one) for one in members]
        name = closest(str(value), names) or _USUAL.get(str(path[0]), names[0])
        return f"write it like `{path[0]}={{name: {name}}}`"
    if dotted(path) in _USUAL:
        return f"write it like `{dotted(path)}={_USUAL[dotted(path)]}`"
    for model in members if len(path) > 1 else (Config,):
        if str(path[-1]) in model.model_fields:
            default = model.model_fields[str(path[-1])].default
            if isinstance(default, (str, int, float, tuple)):
                return f"write it like `{dotted(path)}={render_value(default)}`"
    return f"`dlcli config init` shows how {path[0]} is written"


def show(value: Any) -> str:
    """Return a value as a user would write it, short."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (tuple, list)):
        text = "[" + ", ".join(show(one) for one in value) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
