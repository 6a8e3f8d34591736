"""Group of runs of one config that differ in their seed, opened for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlcli.config.schema import Config


@dataclass(frozen=True)
class SeedRecord:
    """Result of one seed of a group.

    Attributes:
        seed: Seed of the run.
        status: How its training ended: finished, stopped early, diverged or unfinished.
        epochs: Number of completed epochs.
        best_epoch: Epoch of the best checkpoint; None before the first epoch has ended.
        train: Training loss of the best epoch, as the metric `loss`; None before the first epoch has ended.
        val: Validation metrics of the best epoch; empty without a validation split.
        test: Metrics of the best checkpoint on the test split; None if they were not requested.
        error: Error message if the training diverged; None otherwise.
    """

    seed: int
    status: str
    epochs: int
    best_epoch: int | None
    train: Mapping[str, float | None] | None
    val: Mapping[str, float | None] | None
    test: Mapping[str, Any] | None = None
    error: str | None = None


@dataclass(frozen=True)
class GroupRun:
    """A group folder with the contents of its files.

    Attributes:
        path: Group folder, as text.
        config: Config of the group; its `seed` is the first one.
        status: How training ended: finished, interrupted, failed, diverged (all seeds) or unfinished.
        seconds: Training time; None while there is no summary.
        seeds: Results by seed, in the order of the seeds.
        manifest: Contents of group.json, with the keys of a run's manifest.
        origins: Origin of each setting, by its dotted name.
    """

    path: str
    config: Config
    status: str
    seconds: float | None
    seeds: Sequence[SeedRecord]
    manifest: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
