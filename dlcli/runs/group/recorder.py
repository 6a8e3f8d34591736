"""Recorder of the training of a group: writes logs, checkpoints and summary to the group folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

from dlcli.config.schema import Config
from dlcli.errors import DataError, Interrupted
from dlcli.experiment import Experiment
from dlcli.runs.files import encode_text, sync_folder, to_json, write_atomic, write_json
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.checkpoint import GroupCheckpoint, MemberState, save_group_checkpoint
from dlcli.runs.group.log import LogFile, seed_line
from dlcli.runs.group.records import MemberProgress, table_text
from dlcli.runs.group.resume import GroupPoint, find_status
from dlcli.runs.group.run import SeedRecord
from dlcli.runs.identity import limits, settings_of_group
from dlcli.runs.log import JSONL, TRACE, epoch_row, trace_json
from dlcli.training.events import EpochEnded, FitEnded
from dlcli.training.state import TrainingState
from dlcli.training.together.members import Diverged, Events, Group, MemberEvent, Snapshot

SAVE_SECONDS = 1.0  # least time between two saves
SAVE_SHARE = 0.02  # largest fraction of the training time that saves may take


class GroupRecorder:
    """Writer of the checkpoints, the logs and the summary of one group.

    Args:
        folder: Group folder, locked by this process.
        experiments: Experiments of the members, in the order of the seeds.
        config: Config of the group.
        point: Point that the group resumes from; None for a new group.

    Attributes:
        members: Progress of the members.
        states: States of the members for the next checkpoint.
    """

    def __init__(
        self, folder: GroupFolder, experiments: Sequence[Experiment], config: Config, point: GroupPoint | None
    ) -> None:
        self._folder, self._config = folder, config
        self._group: Group | None = None
        self._numbers: Sequence[int] = ()
        self.members = [MemberProgress(experiment.config.seed) for experiment in experiments]
        self.states = [_initial_state(experiment) for experiment in experiments]
        logs = dict.fromkeys((JSONL, TRACE), b"")
        if point is not None and point.checkpoint is not None:
            self.members, self.states, logs = list(point.members), list(point.checkpoint.members), dict(point.logs)
            for member, state in zip(self.members, self.states, strict=True):
                member.status = find_status(state, config)  # limits may have been raised
        self._logs = {name: LogFile(folder.path / name, content) for name, content in logs.items()}
        self._seconds_before = point.seconds if point else 0.0
        self._start = self._last_save = time.perf_counter()
        self._pause = SAVE_SECONDS
        self._is_new = True  # the names of the log files may not be on disk yet

    def follow(self, group: Group, numbers: Sequence[int]) -> None:
        """Set the training that the states of members are taken from.

        Args:
            group: Training of some of the members.
            numbers: Index in `members` of each member of the group.
        """
        self._group, self._numbers = group, numbers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        """Write a summary after any error but `Interrupted`, for which `interrupt` writes it."""
        if error is not None and not isinstance(error, Interrupted):
            # Ctrl-C within a step; otherwise, a stop raises Interrupted.
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(DataError):  # e.g. the disk is full, which `error` already reports
                self._write_summary(status, error=str(error))

    def handle(self, events: Events) -> None:
        """Log events of members and save a checkpoint if it is due."""
        self._log(events)
        if time.perf_counter() - self._last_save >= self._pause:
            self.save()

    def _log(self, events: Events) -> None:
        for place, event in events:
            self._log_event(self._numbers[place], event)

    def _log_event(self, number: int, event: MemberEvent) -> None:
        member = self.members[number]
        if isinstance(event, EpochEnded):
            row = epoch_row(event)
            member.add(row, is_best=event.is_best)
            self._logs[JSONL].add(seed_line(member.seed, to_json(row)))
            if event.trace is not None:
                self._logs[TRACE].add(seed_line(member.seed, trace_json(event.epoch, event.trace)))
        elif isinstance(event, FitEnded):
            member.status = "finished" if event.reason == "epochs" else "stopped early"
        elif isinstance(event, Diverged):
            member.status, member.error = "diverged", event.message

    def save(self) -> None:
        """Write the logs and then the checkpoint that refers to them."""
        start = time.perf_counter()
        if self._group is not None:
            events, snapshots = self._group.snapshots()
            self._log(events)
            for snapshot in snapshots:
                self._take(snapshot)
        ends = {name: log.flush() for name, log in self._logs.items()}
        if self._is_new:
            sync_folder(self._folder.path)
            self._is_new = False
        checkpoint = GroupCheckpoint(
            self.states, settings_of_group(self._config), limits(self._config), ends, self._seconds()
        )
        last, previous = (self._folder.checkpoint(which) for which in ("last", "previous"))
        save_group_checkpoint(last, checkpoint, previous=previous)
        self._last_save = time.perf_counter()
        self._pause = max(SAVE_SECONDS, (self._last_save - start) / SAVE_SHARE)

    def _take(self, snapshot: Snapshot) -> None:
        """Update the state of a member from a snapshot."""
        number = self._numbers[snapshot.number]
        before, state, best = self.states[number], snapshot.state, snapshot.best
        if _is_at(before.state, state):  # an ended training that is opened again has newly seeded generators
            state = before.state
        self.states[number] = replace(
            before,
            state=state,
            best=best or before.best,
            arithmetic=state.arithmetic if state else before.arithmetic,
            error=self.members[number].error,
        )

    def finish(self) -> list[str]:
        """Write the files of a training that has ended; return the errors of the seeds that diverged."""
        self.save()  # may find that a seed has diverged, so it precedes the list of errors
        errors = [member.error for member in self.members if member.error is not None]
        self._write_summary("finished" if len(errors) < len(self.members) else "diverged")
        return errors

    def interrupt(self) -> None:
        """Write the files of a training that stops; the group must still be running."""
        self.save()
        self._write_summary("interrupted")

    def _write_summary(self, status: str, **more: Any) -> None:
        records = [member.record() for member in self.members]
        write_records(self._folder, records, {"status": status, "seconds": self._seconds(), **more})

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._start


def write_records(folder: GroupFolder, records: Sequence[SeedRecord], summary: Mapping[str, Any]) -> None:
    """Write the results of the seeds as a table and into the summary.

    Raises:
        DataError: If a file cannot be written.
    """
    diverged = sum(record.status == "diverged" for record in records)
    write_atomic(folder.table, encode_text(table_text(records)))
    write_json(folder.summary, {**summary, "diverged": diverged, "seeds": [asdict(record) for record in records]})


def _initial_state(experiment: Experiment) -> MemberState:
    splits = experiment.splits
    scalings = (splits.input_scaling, splits.target_scaling)
    return MemberState(experiment.config.seed, splits.info, *scalings, experiment.arithmetic)


def _is_at(before: TrainingState | None, state: TrainingState | None) -> bool:
    return before is not None and state is not None and before.position == state.position
