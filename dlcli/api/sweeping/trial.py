"""Training of one trial of a sweep as a run that any worker can continue."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from dlcli.api.resumption import continue_run, plan_resumption
from dlcli.api.run_training import train_in
from dlcli.api.training import add_found_settings
from dlcli.config.load import LoadedConfig, load_config
from dlcli.config.schema import Config
from dlcli.data.splits import Splits
from dlcli.errors import DataError, DivergedError, Interrupted
from dlcli.experiment import build_experiment
from dlcli.runs.begin import begin_run
from dlcli.runs.create import create_run
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.lock import lock_run
from dlcli.runs.log import Row, read_rows, rewrite_log, row_metrics
from dlcli.runs.manifest import build_manifest
from dlcli.runs.parent import find_parent
from dlcli.runs.resume import ResumePoint, find_resume_point
from dlcli.runs.summary import summarize
from dlcli.training.events import EpochEnded, Event
from dlcli.training.listeners import Listeners
from dlcli.training.state import Monitor

State: TypeAlias = Literal["finished", "diverged", "stopped"]


class EpochHook(Protocol):
    """Decision of a sweep about a trial, after some of its epochs."""

    def is_due(self, epoch: int) -> bool:
        """Return whether to ask after an epoch."""

    def stops(self, epoch: int, best: float) -> bool:
        """Return whether to stop the trial, for its best value until the epoch."""


@dataclass(frozen=True)
class TrialResult:
    """Result of training a trial, to its end or until its hook stopped it.

    Attributes:
        state: Whether it ended, diverged, or was stopped and can be continued.
        value: Metric of its best epoch so far; None before the first.
        best_epoch: Best epoch so far; None before the first.
        epochs: Number of its epochs so far.
    """

    state: State
    value: float | None
    best_epoch: int | None
    epochs: int


class DataCache:
    """Splits that several trials use, by the settings that they depend on; only the last ones are kept."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._splits: Splits | None = None

    def find(self, config: Config) -> Splits | None:
        """Return the splits of a config, if the last trial had the same."""
        return self._splits if _data_key(config) in self._keys else None

    def keep(self, splits: Splits, *configs: Config) -> None:
        """Keep splits in place of those before, under a config as it was written and as it is saved with a run."""
        self._keys, self._splits = {_data_key(config) for config in configs}, splits


def _data_key(config: Config) -> str:
    settings = config.seed, config.data.model_dump_json(), config.model.init
    return " ".join(map(str, (*settings, config.training.device, config.training.precision)))


class TrialRun:
    """Run of one trial.

    Args:
        path: Run folder; a run that another worker began is continued from its checkpoint.
        loaded: Config of the trial. `checkpoint.monitor` is the metric of the sweep.
        hook: Asked after each epoch but the last, and for the last one of another worker before training continues.
        should_stop: Returns the signal number of a stop request.
        cache: Data of earlier trials.
    """

    def __init__(
        self,
        path: Path,
        loaded: LoadedConfig,
        hook: EpochHook,
        should_stop: Callable[[], int | None],
        cache: DataCache,
    ) -> None:
        self._folder, self._loaded, self._hook, self._cache = RunFolder(path), loaded, hook, cache
        self._should_stop = should_stop
        self._best = Monitor.of(loaded.config.checkpoint.monitor)
        self._epochs = self._planned = 0
        self._is_stopped = False

    def train(self) -> TrialResult:
        """Train to the end, or until the hook stops it.

        Raises:
            Interrupted: After a stop request; the trial is saved.
            DataError: If the data or the run cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        if self._folder.status == "diverged":
            return self._diverged()
        try:
            self._train(Listeners(self._listen, should_stop=self._find_stop))
        except DivergedError:
            return self._diverged()
        except Interrupted:
            if not self._is_stopped:
                raise
        return self._result("stopped" if self._is_stopped else "finished")

    def _train(self, listeners: Listeners) -> None:
        if not self._folder.manifest.exists():
            self._begin(listeners)
            return
        config = load_config(self._folder.resolved).config
        self._planned = config.training.epochs
        point = find_resume_point(self._folder, config)
        self._read(point.rows)
        self._is_stopped = bool(self._epochs) and self._ask()
        if self._is_stopped:
            self._stop_at(point)
        else:
            self._continue(listeners)

    def _continue(self, listeners: Listeners) -> None:
        """Continue the run from its checkpoint, unless it is complete."""
        with lock_run(self._folder.path):
            plan = plan_resumption(self._folder, (), (), listeners)
            if plan.nothing_left is None:
                experiment = plan.build_experiment(listeners, splits=self._cache.find(plan.config))
                self._cache.keep(experiment.splits, plan.config, self._loaded.config)
                continue_run(plan, experiment, False, listeners)

    def _stop_at(self, point: ResumePoint) -> None:
        """Write what a worker that was killed at the same point, or after it, has not written."""
        assert point.checkpoint is not None, "an epoch is saved"
        rewrite_log(self._folder.path, point.rows)
        best = self._best.best_epoch, self._loaded.config.checkpoint.monitor, point.checkpoint.best_sha256
        seconds = sum(row["epoch_seconds"] for row in point.rows)
        summary = {"status": "interrupted", **summarize(point.rows, *best), "seconds": seconds}
        write_json(self._folder.summary, summary)

    def _begin(self, listeners: Listeners) -> None:
        """Start the run; files of a worker that was killed at the same point give way."""
        shutil.rmtree(self._folder.path, ignore_errors=True)
        loaded, parent = find_parent(self._loaded)
        given = parent.parent if parent else None
        experiment = build_experiment(loaded.config, splits=self._cache.find(loaded.config), parent=given)
        self._cache.keep(experiment.splits, loaded.config, experiment.config)
        self._planned = experiment.config.training.epochs
        loaded = add_found_settings(loaded, experiment)
        manifest = build_manifest(experiment, sys.argv)
        with begin_run(create_run(loaded.config.name, self._folder.path), loaded, manifest, parent) as folder:
            train_in(folder, experiment, None, False, (), listeners)

    def _listen(self, event: Event) -> None:
        if isinstance(event, EpochEnded):
            self._update(event.epoch, event.val)
            self._is_stopped = self._ask()

    def _update(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._best.update(epoch, metrics)
        self._epochs = epoch

    def _read(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._update(int(row["epoch"]), row_metrics(row))

    def _ask(self) -> bool:
        """Return whether the hook stops the trial after the current epoch; there is nothing to stop after the last."""
        assert self._best.best_value is not None, "an epoch has ended"
        if self._epochs >= self._planned or not self._hook.is_due(self._epochs):
            return False
        return self._hook.stops(self._epochs, self._best.best_value)

    def _find_stop(self) -> int | None:
        return signal.SIGTERM if self._is_stopped else self._should_stop()

    def _diverged(self) -> TrialResult:
        """Return the result of a trial that diverged, from its log: no event tells of an epoch that ends with NaN."""
        self._best = Monitor.of(self._best.metric)
        self._read(read_rows(self._folder.path))
        return self._result("diverged")

    def _result(self, state: State) -> TrialResult:
        return TrialResult(state, self._best.best_value, self._best.best_epoch or None, self._epochs)


def mark_pruned(path: Path) -> None:
    """Record in the summary of a stopped run that its sweep has pruned it; do nothing if it is on another machine."""
    folder = RunFolder(path)
    if folder.summary.exists():
        write_json(folder.summary, {**folder.read_summary(), "status": "pruned"})


def delete_checkpoints_of(path: Path) -> None:
    """Delete the checkpoints of a trial; its metrics stay."""
    try:
        for file in RunFolder(path).checkpoint("last").parent.glob("*.safetensors"):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot delete {error.filename}: {error.strerror or error}") from error
