"""Sweep on disk: its folder, its config and the study that its workers share."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dlcli.config.load import LoadedConfig, Overrides
from dlcli.config.schema import SweepSettings
from dlcli.config.sweep.load import LoadedSweep, load_sweep
from dlcli.config.sweep.space import Space
from dlcli.runs.files import encode_text, read_json, write_atomic, write_json
from dlcli.sweeps.folder import SweepFolder
from dlcli.sweeps.samplers import build_sampler
from dlcli.sweeps.storage import open_study, read_study
from dlcli.sweeps.study_identity import bind, check_identity

if TYPE_CHECKING:
    from optuna import Study

_STOP = signal.SIGTERM  # at the end of the time, training stops as after this signal
# Time for the results and the page of a sweep: these seconds or this fraction of its time, whichever is less.
RESULTS_SECONDS, RESULTS_PART = 5.0, 0.25
USUAL_EPOCHS = 100  # assumed for the brackets of Hyperband if the number depends on the data


@dataclass(frozen=True)
class Sweep:
    """Sweep in a folder.

    Attributes:
        folder: Its folder.
        loaded: Its config.
        url: Database of its study; None for the journal in its folder.
        deadline: Unix time at which its trials pause; None without a limit.
    """

    folder: SweepFolder
    loaded: LoadedSweep
    url: str | None = None
    deadline: float | None = None

    @property
    def settings(self) -> SweepSettings:
        """Section `sweep` of the config."""
        return self.loaded.settings

    @property
    def space(self) -> Space:
        """Values to try."""
        return self.loaded.space

    @property
    def name(self) -> str:
        """Name of the config."""
        return self.loaded.base.config.name

    @property
    def epochs(self) -> int:
        """Number of epochs of a trial; `USUAL_EPOCHS` if the config does not set it."""
        training = self.loaded.base.config.training
        return training.epochs if "epochs" in training.model_fields_set else USUAL_EPOCHS

    def is_over(self) -> bool:
        """Return whether the time of the sweep is over."""
        return self.deadline is not None and time.time() >= self.deadline

    def find_stop(self, should_stop: Callable[[], int | None]) -> Callable[[], int | None]:
        """Return a function like `should_stop` that also requests a stop when the time of the sweep is over."""
        return lambda: should_stop() or (_STOP if self.is_over() else None)

    def config_of(self, values: Mapping[str, Any]) -> LoadedConfig:
        """Return the unchanged config with the overrides of a trial, and without plots."""
        return self.loaded.config({**values, "plots": "never"})

    @contextmanager
    def open_study(self, workers: int = 1) -> Iterator[Study]:
        """Open the study for this process, until the end of the context.

        Args:
            workers: Number of processes that use the study.

        Raises:
            UsageError: If the study belongs to another sweep, or a package is missing.
            DataError: If the storage cannot be used.
        """
        sampler = build_sampler(self.settings, self.space)
        direction = self._direction
        with open_study(
            self.folder.path,
            self.url,
            name=self.name,
            direction=direction,
            workers=workers,
            begun=self.folder.begun,
            sampler=sampler,
        ) as study:
            bind(study, self.loaded.identity())
            yield study

    @contextmanager
    def read_study(self) -> Iterator[Study]:
        """Open the study for reading, even in a folder that cannot be written; see `open_study`."""
        path, begun = self.folder.path, self.folder.begun
        with read_study(path, self.url, name=self.name, direction=self._direction, begun=begun) as study:
            check_identity(study, self.loaded.identity())
            yield study

    @property
    def _direction(self) -> Literal["minimize", "maximize"]:
        return "maximize" if self.loaded.is_maximized else "minimize"


def write_sweep(folder: SweepFolder, loaded: LoadedSweep, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and then the config, whose presence makes a folder a sweep.

    Raises:
        DataError: If a file cannot be written.
    """
    write_json(folder.manifest, manifest)
    text = f"# Config of this sweep, with all settings of the search.\n{loaded.to_yaml()}"
    write_atomic(folder.sweep, encode_text(text))


def read_sweep(folder: SweepFolder, overrides: Overrides = (), *, url: str | None = None) -> Sweep:
    """Load a sweep from its folder.

    Args:
        folder: Sweep folder.
        overrides: Settings of the sweep that change, such as `sweep.trials=100`.
        url: Database of its study; None for the journal in its folder.

    Raises:
        DataError: If a file cannot be read.
        ConfigError: If its config is invalid.
    """
    sweep = Sweep(folder, load_sweep(folder.sweep, overrides), url)
    seconds, begun = sweep.settings.seconds, read_json(folder.manifest).get("begun")
    if not seconds or not isinstance(begun, (int, float)):
        return sweep
    return replace(sweep, deadline=begun + seconds - min(RESULTS_SECONDS, RESULTS_PART * seconds))
