"""Training of one trial of a sweep with several seeds, as a group that any worker can continue."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from dlcli.api.group_training import continue_seeds, train_seeds
from dlcli.api.sweeping.trial import TrialResult
from dlcli.config.load import LoadedConfig
from dlcli.errors import DivergedError
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.records import read_group
from dlcli.training.listeners import Listeners


def train_group_trial(
    path: Path, loaded: LoadedConfig, seeds: int, should_stop: Callable[[], int | None]
) -> TrialResult:
    """Train a trial with several seeds to its end.

    Args:
        path: Group folder; a group that another worker began is continued from its checkpoint.
        loaded: Config of the trial; its seed is the first one. `checkpoint.monitor` is the metric of the sweep.
        seeds: Number of seeds.
        should_stop: Returns the signal number of a stop request.

    Returns:
        Its value is the mean over the seeds, and its epochs are those of all seeds. It has diverged if a seed has.

    Raises:
        Interrupted: After a stop request; the trial is saved.
        DataError: If the data or the group cannot be used.
        DeviceError: If the device is missing, or its memory is too small.
    """
    listeners = Listeners(should_stop=should_stop)
    with suppress(DivergedError):  # all seeds
        train_or_resume_seeds(path, loaded, seeds, evaluate_test=False, listeners=listeners)
    records = read_group(GroupFolder(path)).seeds
    epochs = sum(record.epochs for record in records)
    metric = loaded.config.checkpoint.monitor.removeprefix("val/")
    values = [(record.val or {}).get(metric) for record in records if record.status != "diverged"]
    finite = [value for value in values if value is not None]
    if len(finite) < len(records):
        return TrialResult("diverged", None, None, epochs)
    return TrialResult("finished", fmean(finite), None, epochs)


def train_or_resume_seeds(
    path: Path, loaded: LoadedConfig, seeds: int, *, evaluate_test: bool, listeners: Listeners
) -> None:
    """Train a group, or continue it if another worker has begun it; see `train_seeds`."""
    if GroupFolder(path).manifest.exists():
        continue_seeds(GroupFolder(path), evaluate_test=evaluate_test, listeners=listeners)
        return
    shutil.rmtree(path, ignore_errors=True)  # files of a worker that was killed at the start
    train_seeds(loaded, seeds=seeds, run_dir=path, evaluate_test=evaluate_test, listeners=listeners)
