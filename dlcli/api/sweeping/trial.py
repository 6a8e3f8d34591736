"""Training of one trial of a sweep as a run that any worker can continue."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from dlcli.api.resumption import plan_resumption
from dlcli.api.sweeping.preparation import DataCache, build_trial, member_of
from dlcli.api.sweeping.result import EpochHook, State, TrialResult
from dlcli.api.training import add_found_settings
from dlcli.config.load import LoadedConfig
from dlcli.errors import DivergedError, Interrupted
from dlcli.experiment import Experiment
from dlcli.runs.begin import begin_run
from dlcli.runs.create import create_run
from dlcli.runs.files import write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.lock import lock_run
from dlcli.runs.log import read_rows, rewrite_log, row_metrics
from dlcli.runs.manifest import build_manifest
from dlcli.runs.parent import ParentFile
from dlcli.runs.recorder import Recorder
from dlcli.runs.reopen import reopen_run
from dlcli.runs.resume import ResumePoint
from dlcli.runs.summary import summarize
from dlcli.sweeps.claims import ClaimLostError
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import EpochEnded, Event, FitEnded
from dlcli.training.fit import Fit
from dlcli.training.listeners import NO_LISTENERS
from dlcli.training.state import Monitor
from dlcli.training.together.members import Member
from dlcli.training.together.stepped import SteppedFit


class TrialRun:
    """Run of one trial, as a context that ends its use by this process.

    After `open`, the caller trains `member` with a `Fit`, which `record` gets, and passes each event to `handle`. An
    error that ends the context saves the run. A loss that is not finite becomes the result in place of an error.

    Args:
        path: Run folder; a run that another worker began is continued from its checkpoint.
        loaded: Config of the trial. `checkpoint.monitor` is the metric of the sweep.
        hook: Asked after each epoch but the last, and for the last one of another worker before training continues.
        cache: Data of earlier trials.

    Attributes:
        result: Result, once the trial has ended, diverged or was stopped by the hook; None before.
    """

    def __init__(self, path: Path, loaded: LoadedConfig, hook: EpochHook, cache: DataCache) -> None:
        self._folder, self._loaded, self._hook, self._cache = RunFolder(path), loaded, hook, cache
        self._best = Monitor.of(loaded.config.checkpoint.monitor)
        self._epochs = self._planned = 0
        self._locked = ExitStack()
        self._opened: tuple[Experiment, ResumePoint | None] | None = None
        self._start: Callable[[], None] = lambda: None
        self._recorder: Recorder | None = None
        self._fit: Fit | None = None
        self.result: TrialResult | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Save the run, unless the error is a lost claim: then it belongs to another worker."""
        with self._locked:
            if error is not None and self.result is None and not isinstance(error, ClaimLostError):
                error = self._save(error)
            if isinstance(error, DivergedError):
                self._set_diverged()
                return True
        return False

    def _save(self, error: BaseException) -> BaseException:
        """Save the run at its end by an error; return the error, or that of a model which is useless."""
        if self._recorder is None or self._fit is None:
            return error
        self._fit.step.update_model()
        try:
            self._recorder.__exit__(type(error), error, None)
        except DivergedError as diverged:
            self._recorder.__exit__(type(diverged), diverged, None)
            return diverged
        return error

    def train(self, should_stop: Callable[[], int | None]) -> None:
        """Train alone, to the end or until the hook stops the trial; see `result`.

        Raises:
            Interrupted: After a stop request, of which `should_stop` returns the signal number.
            DataError: If the data or the run cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        if not self.open():
            self.train_open(should_stop)

    def train_open(self, should_stop: Callable[[], int | None]) -> bool:
        """Train the open run alone; see `train`. Return True: the trial has ended or is stopped."""
        member = self.member
        with convert_memory_errors(member.config):
            fit = SteppedFit(member).fit
            self.record(fit)
            for event in fit:
                if self.handle(event):
                    break
                if signum := should_stop():
                    raise Interrupted("interrupted", signum=signum)
        return True

    def open(self) -> bool:
        """Read the run, locked if it has begun, and build its model; return whether nothing is left to train.

        Raises:
            DataError: If the data or the run cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        if self._folder.status == "diverged":
            self._set_diverged()
        elif self._folder.manifest.exists():
            self._open_begun()
        else:
            loaded, parent, experiment = build_trial(self._loaded, self._cache)
            self._planned = experiment.config.training.epochs
            self._opened = experiment, None
            self._start = partial(self._begin, loaded, parent, experiment)
        return self.result is not None

    def _open_begun(self) -> None:
        """Read a run that was begun, unless the hook stops it at its checkpoint, or it is complete."""
        self._locked.enter_context(lock_run(self._folder.path))
        plan = plan_resumption(self._folder, (), (), NO_LISTENERS)
        point, self._planned = plan.point, plan.config.training.epochs
        for row in point.rows:
            self._update(int(row["epoch"]), row_metrics(row))
        if self._epochs and self._ask():
            self._stop_at(point)
            self._set_result("stopped")
        elif plan.nothing_left is not None:
            self._set_result("finished")
        else:
            experiment = plan.build_experiment(NO_LISTENERS, splits=self._cache.find(plan.config))
            self._cache.keep(experiment.splits, plan.config, self._loaded.config)
            self._opened = experiment, point
            self._start = partial(reopen_run, self._folder, plan.original, plan.config, point, experiment, sys.argv)

    def _stop_at(self, point: ResumePoint) -> None:
        """Write what a worker that was killed at the same point, or after it, has not written."""
        assert point.checkpoint is not None, "an epoch is saved"
        rewrite_log(self._folder.path, point.rows)
        best = self._best.best_epoch, self._loaded.config.checkpoint.monitor, point.checkpoint.best_sha256
        seconds = sum(row["epoch_seconds"] for row in point.rows)
        summary = {"status": "interrupted", **summarize(point.rows, *best), "seconds": seconds}
        write_json(self._folder.summary, summary)

    def _begin(self, loaded: LoadedConfig, parent: ParentFile | None, experiment: Experiment) -> None:
        """Begin and lock the run; files of a worker that was killed at the same point give way."""
        shutil.rmtree(self._folder.path, ignore_errors=True)
        folder, manifest = create_run(loaded.config.name, self._folder.path), build_manifest(experiment, sys.argv)
        self._locked.enter_context(begin_run(folder, add_found_settings(loaded, experiment), manifest, parent))

    @property
    def member(self) -> Member:
        """Training of the open run, from its resume point."""
        assert self._opened is not None, "it is open and not complete"
        experiment, point = self._opened
        state = point.checkpoint.training if point and point.checkpoint else None
        return member_of(experiment, state)

    def record(self, fit: Fit, sharing: int = 1) -> None:
        """Begin the run, or reset it to its resume point, and record the events of a training of the member.

        Args:
            fit: The training.
            sharing: Number of trainings that share the time of this process.

        Raises:
            DataError: If the run cannot be written.
        """
        assert self._opened is not None, "it is open and not complete"
        experiment, point = self._opened
        self._start()
        self._fit = fit
        self._recorder = Recorder(self._folder, fit, experiment.splits, experiment.config, point, sharing=sharing)

    def handle(self, event: Event) -> bool:
        """Record an event; return whether the trial has ended or is stopped.

        Raises:
            DivergedError: If a parameter is not finite.
            DataError: If a file cannot be written.
        """
        assert self._recorder is not None, "it is recorded"
        self._recorder.handle(event)
        if isinstance(event, FitEnded):
            self._set_result("finished")
        elif isinstance(event, EpochEnded):
            self._update(event.epoch, event.val)
            if self._ask():
                self._recorder.close("interrupted")
                self._set_result("stopped")
        return self.result is not None

    def _update(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._best.update(epoch, metrics)
        self._epochs = epoch

    def _ask(self) -> bool:
        """Return whether the hook stops the trial after the current epoch; there is nothing to stop after the last."""
        assert self._best.best_value is not None, "an epoch has ended"
        if self._epochs >= self._planned or not self._hook.is_due(self._epochs):
            return False
        return self._hook.stops(self._epochs, self._best.best_value)

    def _set_diverged(self) -> None:
        """Set the result of a trial that diverged, from its log: no event tells of an epoch that ends with NaN."""
        self._best, self._epochs = Monitor.of(self._best.metric), 0
        for row in read_rows(self._folder.path):
            self._update(int(row["epoch"]), row_metrics(row))
        self._set_result("diverged")

    def _set_result(self, state: State) -> None:
        self.result = TrialResult(state, self._best.best_value, self._best.best_epoch or None, self._epochs)
