"""What makes two trainings the same run: settings, data and seed; what may be raised to continue one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dlcli.config.render import deciding_settings, render_value
from dlcli.config.schema import Config
from dlcli.errors import DataError
from dlcli.runs.checkpoint import Checkpoint
from dlcli.runs.files import to_json
from dlcli.runs.folder import RunFolder

EPOCHS, PATIENCE = "training.epochs", "early_stopping.patience"
_SHAPED_BY_EPOCHS = ("cosine", "one_cycle")  # their learning rates of the first steps depend on the last


def identifying_settings(config: Config) -> dict[str, Any]:
    """Return the settings that decide what a run comes to at each of its epochs, as JSON has them.

    `training.epochs` and `early_stopping.patience` decide no more than when training ends, so a run keeps its identity
    when they are raised; where the schedule depends on the number of epochs, that is a part of it.
    """
    left_out = {PATIENCE} if is_shaped_by_epochs(config) else {PATIENCE, EPOCHS}
    settings = {key: value for key, value in deciding_settings(config).items() if key not in left_out}
    return json.loads(to_json(settings))  # type: ignore[no-any-return]


def is_shaped_by_epochs(config: Config) -> bool:
    """Return whether the number of epochs decides the learning rates from the first step on."""
    return config.scheduler.name in _SHAPED_BY_EPOCHS


def limits(config: Config) -> dict[str, int | None]:
    """Return what decides when training ends; a run that is resumed may have higher ones. None is no limit."""
    return {"epochs": config.training.epochs, "patience": config.early_stopping.patience}


def lowered_limits(then: Mapping[str, int | None], now: Mapping[str, int | None]) -> list[str]:
    """Return the limits that are lower now."""

    def height(limit: int | None) -> float:
        return math.inf if limit is None else limit

    return [name for name in now if height(now[name]) < height(then[name])]


def different_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ: by name, both values; None where there is no such setting."""
    return {
        key: (then.get(key), now.get(key))
        for key in {**then, **now}
        if render_setting(then.get(key)) != render_setting(now.get(key))
    }


def render_setting(value: Any) -> str:
    """Return a setting's value, as JSON has it, as YAML on one line."""
    return render_value(tuple(value) if isinstance(value, list) else value)


def check_identity(folder: RunFolder, name: str, checkpoint: Checkpoint, config: Config) -> None:
    """Refuse a checkpoint of another run, or one whose run's record was changed.

    Args:
        folder: The run's.
        name: The checkpoint's file.
        checkpoint: What is in it.
        config: The run's, from resolved.yaml.

    Raises:
        DataError: Naming each difference.
    """
    changes = different_settings(checkpoint.settings, identifying_settings(config))
    problems = [
        f"{key} is {render_setting(there)} in {name} and {render_setting(here)} in resolved.yaml"
        for key, (there, here) in changes.items()
    ]
    for limit in lowered_limits(checkpoint.limits, limits(config)) if checkpoint.limits else ():
        key = EPOCHS if limit == "epochs" else PATIENCE
        there, here = (render_setting(one[limit]) for one in (checkpoint.limits, limits(config)))
        problems.append(f"{key} is {there} in {name} and {here} in resolved.yaml")
    manifest = folder.read_manifest()
    if manifest.get("data", {}).get("sha256") != checkpoint.data:
        problems.append(f"{name} and manifest.json record different data")
    if manifest.get("arithmetic") != asdict(checkpoint.arithmetic):
        problems.append(f"{name} and manifest.json record different arithmetic: step, threads or library")
    if repr(manifest.get("seed")) != repr(config.seed):
        problems.append(f"seed is {manifest.get('seed')!r} in manifest.json and {config.seed} in resolved.yaml")
    if problems:
        message = f"the files of {folder.path} are not of one run:"
        hint = "one of these files was changed after training or is of another run; restore it, or train again"
        raise DataError("\n".join([message, *(f"  {one}" for one in problems)]), hint=hint)
