"""Suggestions for unknown keys and values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache

from pydantic import BaseModel

from dlcli.config.schema import section_name, setting_places, variants_beside
from dlcli.config.tree import KeyPath, dotted

# Names that other tools (Lightning, Keras, scikit-learn, skorch, Ultralytics, Hugging Face) use for our settings.
OTHER_TOOLS = {
    "max_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "n_epochs": "training.epochs",
    "nb_epochs": "training.epochs",
    "num_train_epochs": "training.epochs",
    "max_iter": "training.epochs",
    "epoch": "training.epochs",
    "bs": "training.batch_size",
    "batch": "training.batch_size",
    "train_batch_size": "training.batch_size",
    "per_device_train_batch_size": "training.batch_size",
    "gpu": "training.device",
    "gpus": "training.device",
    "accelerator": "training.device",
    "max_grad_norm": "training.gradient_clip_norm",
    "grad_clip": "training.gradient_clip_norm",
    "clip_grad_norm": "training.gradient_clip_norm",
    "gradient_clip_val": "training.gradient_clip_norm",
    "gradient_clipping": "training.gradient_clip_norm",
    "amp": "training.precision",
    "autocast": "training.precision",
    "dtype": "training.precision",
    "learning_rate": "optimizer.lr",
    "learning_rate_init": "optimizer.lr",
    "lr0": "optimizer.lr",
    "alpha": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "l2": "optimizer.weight_decay",
    "l2_regularization": "optimizer.weight_decay",
    "optim": "optimizer",
    "solver": "optimizer.name",
    "lr_scheduler": "scheduler",
    "schedule": "scheduler",
    "lr_schedule": "scheduler",
    "warmup": "scheduler.warmup_epochs",
    "criterion": "loss",
    "loss_fn": "loss",
    "loss_function": "loss",
    "objective": "loss",
    "hidden_layers": "model.hidden_sizes",
    "hidden_layer_sizes": "model.hidden_sizes",
    "hidden_size": "model.hidden_sizes",
    "hidden_dim": "model.hidden_sizes",
    "hidden_dims": "model.hidden_sizes",
    "hidden_units": "model.hidden_sizes",
    "hidden": "model.hidden_sizes",
    "layers": "model.hidden_sizes",
    "units": "model.hidden_sizes",
    "nonlinearity": "model.activation",
    "activation_function": "model.activation",
    "dropout_rate": "model.dropout",
    "initializer": "model.init",
    "initialization": "model.init",
    "weight_init": "model.init",
    "dataset": "data",
    "data_dir": "data.root",
    "data_root": "data.root",
    "val_split": "data.val_fraction",
    "validation_split": "data.val_fraction",
    "validation_fraction": "data.val_fraction",
    "val_size": "data.val_fraction",
    "test_size": "data.test_fraction",
    "test_split": "data.test_fraction",
    "scaling": "data.normalize",
    "standardize": "data.normalize",
    "random_seed": "seed",
    "random_state": "seed",
    "run_name": "name",
    "experiment_name": "name",
    "earlystopping": "early_stopping",
    "n_iter_no_change": "early_stopping.patience",
    "tol": "early_stopping.min_delta",
    "save_best": "checkpoint.monitor",
    "checkpointing": "checkpoint",
    "problem_type": "task",
}
SOFTMAX_KEYS = {"softmax", "output_activation", "final_activation", "last_activation", "out_activation", "logits"}
SOFTMAX_HINT = "delete it: a classifier applies softmax to its outputs already, in the loss and in predictions"


def unknown_key(path: KeyPath, model: type[BaseModel] | None) -> tuple[str, str]:
    """Return the message and the hint for a key that its section does not have.

    The hint suggests, in this order: a setting of another variant of the section, a setting with the same name in
    another section, the setting behind another tool's name, a similar name in the section, a similar name elsewhere.
    Otherwise it lists the settings of the section.

    Args:
        path: KeyPath of the key as it was written.
        model: Section that contains the key; None if the section cannot be determined.
    """
    key, parent = str(path[-1]), path[:-1]
    message = f"{dotted(path)} is not a setting"
    owners = [section_name(sibling) for sibling in _siblings(model) if key in sibling.model_fields]
    if model is not None and owners:
        owner = f"{dotted((*parent, 'name'))}: {' or '.join(owners)}"
        hint = f"`{key}` requires {owner}; delete it or set `{dotted(path)}=null`"
        return f"{message} of {section_name(model)}", hint
    if _normalize(key) in {_normalize(word) for word in SOFTMAX_KEYS}:
        return message, SOFTMAX_HINT
    elsewhere = [setting for setting in all_settings() if setting[-1] == key]
    # Nested settings come late, and settings of the scheduler last: they share names with others but are rarely meant.
    elsewhere.sort(key=lambda setting: (setting[0] == "scheduler", len(setting)))
    if elsewhere:
        homes = " or ".join(f"`{dotted(other[:-1])}`" if other[:-1] else "the top level" for other in elsewhere)
        return message, f"`{key}` belongs under {homes}: write `{dotted(elsewhere[0])}`"
    by_normalized_name = {_normalize(name): setting for name, setting in OTHER_TOOLS.items()}
    if _normalize(key) in by_normalized_name:
        return message, f"did you mean `{by_normalized_name[_normalize(key)]}`?"
    names = list(model.model_fields) if model is not None else []
    if guess := closest(key, names):
        return message, f"did you mean `{dotted((*parent, guess))}`?"
    if guess := closest(key, [str(setting[-1]) for setting in all_settings()], cutoff=0.75):
        match = next(setting for setting in all_settings() if setting[-1] == guess)
        return message, f"did you mean `{dotted(match)}`?"
    return message, f"available settings: {', '.join(names)}" if names else "delete it"


def find_setting(name: str) -> str | None:
    """Return the dotted name of the setting that ends in `name` or that another tool calls `name`; otherwise None."""
    settings = [path for path in all_settings() if path[-1] == name and path[:-1] != ("scheduler",)]
    settings.sort(key=len)
    return dotted(settings[0]) if settings else OTHER_TOOLS.get(name)


def closest(word: str, choices: Sequence[str], cutoff: float = 0.5) -> str | None:
    """Return the choice most similar to `word`, ignoring case and separators; None if no choice is similar."""
    normalized: dict[str, str] = {}
    for choice in choices:
        normalized.setdefault(_normalize(choice), choice)
    guess = difflib.get_close_matches(_normalize(word), normalized, n=1, cutoff=cutoff)
    return normalized[guess[0]] if guess else None


@cache
def all_settings() -> tuple[KeyPath, ...]:
    """Return the path of every section and setting, each once."""
    return tuple(dict.fromkeys(place.path for place in setting_places()))


def _siblings(model: type[BaseModel] | None) -> Iterable[type[BaseModel]]:
    """Return the other variants of a section."""
    return [member for member in variants_beside(model) if member is not model]


def _normalize(word: str) -> str:
    return re.sub(r"[-_ ]", "", word).lower()
