"""Training of one trial of a sweep with several seeds, as a group that any worker can continue."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from dlcli.api.group_training import TrainGroup, begin_seeds, continue_seeds
from dlcli.api.run_group import SeedsResult, group_result, train_group_in
from dlcli.api.sweeping.result import EpochHook, TrialResult
from dlcli.config.load import LoadedConfig
from dlcli.errors import DivergedError
from dlcli.experiment import Experiment
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.recorder import write_records
from dlcli.runs.group.records import MemberProgress, read_group
from dlcli.runs.group.resume import GroupPoint, find_group_point
from dlcli.training.listeners import Listeners


class GroupTrial:
    """Group of the seeds of one trial.

    All seeds train together to the next epoch at which the hook is due. The value of the trial is then the mean of the
    best values so far.

    Args:
        path: Group folder; a group that another worker began is continued from its checkpoint.
        loaded: Config of the trial; its seed is the first one. `checkpoint.monitor` is the metric of the sweep.
        seeds: Number of seeds.
        hook: See `TrialRun`.
        should_stop: Returns the signal number of a stop request.
    """

    def __init__(
        self, path: Path, loaded: LoadedConfig, seeds: int, hook: EpochHook, should_stop: Callable[[], int | None]
    ) -> None:
        self._path, self._loaded, self._seeds, self._hook = path, loaded, seeds, hook
        self._should_stop = should_stop
        self._stopped: TrialResult | None = None

    def train(self) -> TrialResult:
        """Train all seeds to their end, or until the hook stops them.

        Returns:
            Its value is the mean over the seeds, and its epochs are those of all seeds. It has diverged if a seed has.

        Raises:
            Interrupted: After a stop request; the trial is saved.
            DataError: If the data or the group cannot be used.
            DeviceError: If the device is missing, or its memory is too small.
        """
        listeners = Listeners(should_stop=self._should_stop)
        with suppress(DivergedError):  # all seeds
            train_or_resume_seeds(
                self._path, self._loaded, self._seeds, evaluate_test=False, listeners=listeners, train=self._train
            )
        if self._stopped is not None:
            return self._stopped
        records = read_group(GroupFolder(self._path)).seeds
        epochs = sum(record.epochs for record in records)
        metric = self._loaded.config.checkpoint.monitor.removeprefix("val/")
        values = [(record.val or {}).get(metric) for record in records if record.status != "diverged"]
        finite = [value for value in values if value is not None]
        if len(finite) < len(records):
            return TrialResult("diverged", None, None, epochs)
        return TrialResult("finished", fmean(finite), None, epochs)

    def _train(
        self,
        folder: GroupFolder,
        experiments: Sequence[Experiment],
        point: GroupPoint | None,
        evaluate_test: bool,
        listeners: Listeners,
    ) -> SeedsResult:
        """Train from one comparison to the next; see `train_group_in`."""
        planned = experiments[0].config.training.epochs
        while True:
            unfinished = [member.epochs for member in (point.members if point else ()) if member.status == "unfinished"]
            if point is not None and len(set(unfinished)) == 1 and self._stops_at(unfinished[0], point, folder):
                return group_result(folder)
            following = range(min(unfinished, default=0) + 1, planned)
            until = next((epoch for epoch in following if self._hook.is_due(epoch)), None)
            result = train_group_in(folder, experiments, point, evaluate_test, listeners, until)
            if result.status != "interrupted":
                return result
            point = find_group_point(folder, experiments[0].config)

    def _stops_at(self, epoch: int, point: GroupPoint, folder: GroupFolder) -> bool:
        """Return whether the trial stops after an epoch that all seeds have reached: one diverged, or by the hook."""
        if not epoch or not self._hook.is_due(epoch):
            return False
        members = point.members
        epochs = sum(member.epochs for member in members)
        if any(member.error for member in members):
            self._stopped = TrialResult("diverged", None, None, epochs)
        elif self._hook.stops(epoch, value := self._mean(members)):
            self._stopped = TrialResult("stopped", value, None, epochs)
        else:
            return False
        status = "diverged" if self._stopped.state == "diverged" else "interrupted"
        write_records(folder, [member.record() for member in members], {"status": status, "seconds": point.seconds})
        return True

    def _mean(self, members: Sequence[MemberProgress]) -> float:
        monitor = self._loaded.config.checkpoint.monitor
        return fmean(member.best[monitor] for member in members if member.best is not None)


def train_or_resume_seeds(
    path: Path,
    loaded: LoadedConfig,
    seeds: int,
    *,
    evaluate_test: bool,
    listeners: Listeners,
    train: TrainGroup = train_group_in,
) -> None:
    """Train a group, or continue it if another worker has begun it; see `train_seeds`."""
    if GroupFolder(path).manifest.exists():
        continue_seeds(GroupFolder(path), evaluate_test=evaluate_test, listeners=listeners, train=train)
        return
    shutil.rmtree(path, ignore_errors=True)  # files of a worker that was killed at the start
    begin_seeds(loaded, seeds, path, evaluate_test=evaluate_test, listeners=listeners, train=train)
