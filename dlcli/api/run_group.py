"""Training of several seeds in a group folder, and its result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from dlcli.api.run_training import should_draw
from dlcli.config.paths import as_argument
from dlcli.config.schema import Config
from dlcli.errors import DivergedError, Interrupted
from dlcli.evaluation.evaluate import evaluate_model
from dlcli.experiment import Experiment
from dlcli.overview import describe_group
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group.checkpoint import MemberState
from dlcli.runs.group.recorder import GroupRecorder, write_records
from dlcli.runs.group.records import read_group
from dlcli.runs.group.resume import GroupPoint, copy_of
from dlcli.runs.group.run import SeedRecord
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import GroupEnded, GroupProgress, GroupStarted
from dlcli.training.listeners import Listeners, stop_requests
from dlcli.training.together.group import LocalGroup
from dlcli.training.together.members import Group, Member
from dlcli.training.together.workers import open_group

_REPORT_SECONDS = 0.3  # between two progress reports; a report takes a millisecond for 1,000 seeds


@dataclass(frozen=True)
class SeedsResult:
    """Result of a training with several seeds; `dlcli train --seeds N --json` prints it with `asdict`.

    Attributes:
        run: Group folder.
        status: `finished`, or `interrupted` if a sweep has paused the training.
        seeds: Result of each seed, in their order.
        diverged: Number of seeds that diverged.
        epochs_trained: Number of epochs in this call over all seeds; 0 if the group was already complete.
        seconds: Time of the training, without pauses between a stop and the resumption.
        recovered: Messages about damaged or missing files that the resumed group ignored.
        nothing_left: Reason why the group was already complete; None if epochs were trained.
    """

    run: str
    status: str
    seeds: Sequence[SeedRecord]
    diverged: int
    epochs_trained: int
    seconds: float
    recovered: tuple[str, ...] = ()
    nothing_left: str | None = None


def train_group_in(
    folder: GroupFolder,
    experiments: Sequence[Experiment],
    point: GroupPoint | None,
    evaluate_test: bool,
    listeners: Listeners,
    until: int | None = None,
) -> SeedsResult:
    """Train in a locked group folder, from the first epoch or from `point`.

    With `until`, training pauses when all seeds have completed this epoch or have ended.
    """
    config = experiments[0].config
    started = describe_group(experiments, str(folder.path))
    listeners.listen(started)
    with (
        convert_memory_errors(config),
        stop_requests(listeners) as should_stop,
        GroupRecorder(folder, experiments, config, point) as recorder,
    ):
        numbers = _choose_members(recorder, until)
        progress = _Progress(started, recorder)
        before = progress.report().epochs
        members = [_member(experiments[number], recorder.states[number], until) for number in numbers]
        with _open_group(members, config, until) as group:
            recorder.follow(group, numbers)
            for events in group:
                recorder.handle(events)
                report = progress.report() if progress.is_due() else None
                if signum := (report and listeners.emit(report)) or should_stop():
                    recorder.interrupt()
                    raise _interruption(folder, progress, signum)
            if any(member.status == "unfinished" for member in recorder.members):
                recorder.save()
                return _paused_result(folder, recorder)
            errors = recorder.finish()
        states = recorder.states
    listeners.listen(GroupEnded(progress.report()))
    if len(errors) == len(experiments):
        message = f"all {len(errors)} seeds diverged; the first: {errors[0]}"
        raise DivergedError(message, hint="reduce optimizer.lr or set training.gradient_clip_norm=1")
    if evaluate_test:
        evaluate_members(folder, experiments, states)
    if config.plots != "never":
        from dlcli.report.group import report_after_training  # imports jinja2

        report_after_training(folder, listeners.note, has_plots=should_draw(folder, config))
    recovered = tuple(point.notes) if point else ()
    return replace(group_result(folder), epochs_trained=progress.report().epochs - before, recovered=recovered)


def _choose_members(recorder: GroupRecorder, until: int | None) -> list[int]:
    """Return the numbers of the members to train, which have neither diverged nor reached the epoch `until`."""
    return [
        number
        for number, member in enumerate(recorder.members)
        if member.error is None and (until is None or member.epochs < until)
    ]


def _open_group(members: Sequence[Member], config: Config, until: int | None) -> Group:
    """Return the training of members.

    Training until a pause uses only this process, because the start of other processes may take longer.
    """
    is_together = config.training.together == "auto"
    if until is None:
        return open_group(members, is_together=is_together)
    return LocalGroup(members, is_stacked=is_together)


def _paused_result(folder: GroupFolder, recorder: GroupRecorder) -> SeedsResult:
    records = [member.record() for member in recorder.members]
    diverged = sum(record.status == "diverged" for record in records)
    return SeedsResult(str(folder.path), "interrupted", records, diverged, epochs_trained=0, seconds=0.0)


def _member(experiment: Experiment, saved: MemberState, until: int | None) -> Member:
    state = copy_of(saved.state)
    return Member(experiment.model, experiment.task, experiment.splits, experiment.config, state, until)


def _interruption(folder: GroupFolder, progress: _Progress, signum: int) -> Interrupted:
    hint = f"`dlcli train --resume {as_argument(str(folder.path))}` continues from there"
    done = f"{progress.report().epochs:,} of {progress.total:,} epochs"
    message = f"interrupted after {done}; saved {folder.checkpoint('last')}"
    return Interrupted(message, signum=signum, hint=hint)


class _Progress:
    """Progress of a group, which is reported a few times per second.

    Args:
        started: Start of the training.
        recorder: Recorder with the progress of each seed.
    """

    def __init__(self, started: GroupStarted, recorder: GroupRecorder) -> None:
        self.total, self._headline = started.epochs, f"val/{started.headline}"
        self._recorder = recorder
        self._reported = 0.0

    def is_due(self) -> bool:
        """Return whether to report now."""
        if time.perf_counter() - self._reported < _REPORT_SECONDS:
            return False
        self._reported = time.perf_counter()
        return True

    def report(self) -> GroupProgress:
        """Return the progress so far."""
        members = self._recorder.members
        rows = [member.last for member in members if member.last is not None and member.error is None]
        losses = [row.get("val/loss", row["train/loss"]) for row in rows]
        metrics = [row[self._headline] for row in rows if self._headline in row]
        return GroupProgress(
            epochs=sum(member.epochs for member in members),
            ended=sum(member.status != "unfinished" for member in members),
            diverged=sum(member.error is not None for member in members),
            loss=fmean(losses) if losses else None,
            metric=fmean(metrics) if metrics else None,
        )


def evaluate_members(folder: GroupFolder, experiments: Sequence[Experiment], states: Sequence[MemberState]) -> None:
    """Add the metrics of each best model on the test split to the records; overwrites the models' parameters."""
    records = []
    for record, experiment, saved in zip(read_group(folder).seeds, experiments, states, strict=True):
        if record.status != "diverged" and saved.best is not None:
            model, splits = experiment.model, experiment.splits
            model.load_state_dict(dict(saved.best.parameters))
            test = evaluate_model(model, experiment.task, splits.test, splits.info.class_names)
            record = replace(record, test=test)
        records.append(record)
    write_records(folder, records, folder.read_summary())


def group_result(folder: GroupFolder) -> SeedsResult:
    """Return the result of a group whose training has ended."""
    group = read_group(folder)
    diverged = sum(record.status == "diverged" for record in group.seeds)
    return SeedsResult(group.path, group.status, group.seeds, diverged, epochs_trained=0, seconds=group.seconds or 0.0)
