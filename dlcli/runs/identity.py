"""Identity of a run: the settings, data and seed that a resumed training must share."""

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
_SHAPED_BY_EPOCHS = ("cosine", "one_cycle")  # their learning rates all depend on the total number of steps


def identifying_settings(config: Config) -> dict[str, Any]:
    """Return the settings that determine the state of a run after each epoch, as JSON values.

    `training.epochs` and `early_stopping.patience` only determine when training ends, so they can be raised on resume.
    If the schedule depends on the number of epochs, `training.epochs` is included.
    """
    left_out = {PATIENCE} if is_shaped_by_epochs(config) else {PATIENCE, EPOCHS}
    if not config.model.batch_norm:  # so that checkpoints from before this setting still match
        left_out.add("model.batch_norm")
    settings = {key: value for key, value in deciding_settings(config).items() if key not in left_out}
    return json.loads(to_json(settings))  # type: ignore[no-any-return]


def settings_of_group(config: Config) -> dict[str, Any]:
    """Return the identifying settings of a group of seeds: all but the seed."""
    return {key: value for key, value in identifying_settings(config).items() if key != "seed"}


def is_shaped_by_epochs(config: Config) -> bool:
    """Return whether the number of epochs affects the learning rates from the first step."""
    return config.scheduler.name in _SHAPED_BY_EPOCHS


def limits(config: Config) -> dict[str, int | None]:
    """Return the limits that end training, which can be raised on resume; None means no limit."""
    return {"epochs": config.training.epochs, "patience": config.early_stopping.patience}


def lowered_limits(old: Mapping[str, int | None], new: Mapping[str, int | None]) -> list[str]:
    """Return the names of the limits that are lower in `new` than in `old`."""

    def height(limit: int | None) -> float:
        return math.inf if limit is None else limit

    return [name for name in new if height(new[name]) < height(old[name])]


def different_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return both values of each setting that differs; None stands for a missing setting."""
    return {
        key: (old.get(key), new.get(key))
        for key in {**old, **new}
        if render_setting(old.get(key)) != render_setting(new.get(key))
    }


def render_setting(value: Any) -> str:
    """Return the JSON value of a setting as one line of YAML."""
    return render_value(tuple(value) if isinstance(value, list) else value)


def check_identity(folder: RunFolder, name: str, checkpoint: Checkpoint, config: Config) -> None:
    """Check that a checkpoint belongs to its run.

    Args:
        folder: Run folder.
        name: File name of the checkpoint.
        checkpoint: Checkpoint to check.
        config: Config of the run, from resolved.yaml.

    Raises:
        DataError: If the checkpoint, resolved.yaml and manifest.json disagree; the message lists every difference.
    """
    changes = different_settings(checkpoint.settings, identifying_settings(config))
    problems = [
        f"{key} is {render_setting(saved)} in {name} and {render_setting(current)} in resolved.yaml"
        for key, (saved, current) in changes.items()
    ]
    for limit in lowered_limits(checkpoint.limits, limits(config)) if checkpoint.limits else ():
        key = EPOCHS if limit == "epochs" else PATIENCE
        saved, current = (render_setting(values[limit]) for values in (checkpoint.limits, limits(config)))
        problems.append(f"{key} is {saved} in {name} and {current} in resolved.yaml")
    manifest = folder.read_manifest()
    if manifest.get("data", {}).get("sha256") != checkpoint.info.checksums:
        problems.append(f"{name} and manifest.json record different data")
    if manifest.get("arithmetic") != asdict(checkpoint.arithmetic):
        problems.append(f"{name} and manifest.json record different arithmetic: step, threads or library")
    if repr(manifest.get("seed")) != repr(config.seed):
        problems.append(f"seed is {manifest.get('seed')!r} in manifest.json and {config.seed} in resolved.yaml")
    if problems:
        message = f"the files of {folder.path} do not belong to the same run:"
        hint = "a file was edited or copied from another run; restore it, or train again"
        raise DataError("\n".join([message, *(f"  {problem}" for problem in problems)]), hint=hint)
