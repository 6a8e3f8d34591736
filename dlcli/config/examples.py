"""Rejected values and valid examples in error messages, in the form that a user would write."""

from __future__ import annotations

from typing import Any

from dlcli.config.render import render_value
from dlcli.config.schema import Config, section_models, section_name, setting_owners
from dlcli.config.suggest import closest
from dlcli.config.tree import KeyPath, dotted

# Examples for settings whose default would be a poor example: users set them because they want another value.
_USUAL = {
    "name": "my-run",
    "data": "digits",  # the example of a section is the name of a variant
    "data.root": "DIR",
    "data.path": "DIR",
    "model.dropout": "0.5",
    "model.init.run": "RUN",
    "loss.class_weights": "balanced",
    "optimizer.momentum": "0.9",
    "optimizer.nesterov": "true",
    "optimizer.weight_decay": "1e-4",
    "scheduler.warmup_epochs": "1",
    "training.gradient_clip_norm": "1.0",
    "early_stopping.patience": "5",
    "sweep": "{space: {optimizer.lr: [0.1, 0.01]}}",
    "sweep.space": "{optimizer.lr: [0.1, 0.01]}",
    "sweep.metric": "val/accuracy",
    "sweep.pruner": "asha",
    "sweep.seconds": "3600",
    "sweep.generation": "8",
}
_LISTS = ("data.features", "data.ignore", "data.null_values")  # lists of texts


def example(path: KeyPath, value: Any) -> str:
    """Return a hint with a valid example: a usual value, the default, or a section with the given name."""
    path = tuple(part for part in path if isinstance(part, str))  # the example shows the whole list, not one entry
    members = section_models(Config, str(path[0]))
    if len(path) == 1 and len(members) > 1:  # the value may be the name of a variant
        names = [section_name(member) for member in members]
        name = closest(str(value), names) or _USUAL.get(str(path[0]), names[0])
        return f"write it like `{path[0]}={{name: {name}}}`"
    if dotted(path) in _USUAL:
        return f"write it like `{dotted(path)}={_USUAL[dotted(path)]}`"
    if dotted(path) in _LISTS and isinstance(value, str):
        return f"write it like `{dotted(path)}=[{value}]`"
    for model in setting_owners(path):
        default = model.model_fields[str(path[-1])].default
        if isinstance(default, (str, int, float, tuple)):
            return f"write it like `{dotted(path)}={render_value(default)}`"
    return f"run `dlcli config init` to see how {path[0]} is written"


def show(value: Any) -> str:
    """Return a value in the form that a user would write, in at most 60 characters."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (tuple, list)):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
