"""Training of several seeds in a group folder, and its result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dlcli.api.run_training import should_draw
from dlcli.config.paths import as_argument
from dlcli.errors import DivergedError, Interrupted
from dlcli.evaluation.evaluate import evaluate_model
from dlcli.experiment import Experiment
from dlcli.overview import describe_group
from dlcli.runs.folder import GroupFolder
from dlcli.runs.group_checkpoint import MemberState
from dlcli.runs.group_recorder import GroupRecorder, write_records
from dlcli.runs.group_records import read_group
from dlcli.runs.group_resume import GroupPoint, copy_of
from dlcli.runs.group_run import SeedRecord
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import EpochEnded, GroupEnded, GroupProgress, GroupStarted
from dlcli.training.listeners import Listeners, stop_requests
from dlcli.training.together.group import Diverged, Member, MemberEvent, open_group

_REPORT_SECONDS = 0.1  # between two reports of progress


@dataclass(frozen=True)
class SeedsResult:
    """Result of a training with several seeds; `dlcli train --seeds N --json` prints it with `asdict`.

    Attributes:
        run: Group folder.
        status: `finished`.
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
) -> SeedsResult:
    """Train in a locked group folder, from the first epoch or from `point`."""
    config = experiments[0].config
    started = describe_group(experiments, str(folder.path))
    listeners.listen(started)
    with (
        convert_memory_errors(config),
        stop_requests(listeners) as should_stop,
        GroupRecorder(folder, experiments, config, point) as recorder,
    ):
        numbers = [number for number, member in enumerate(recorder.members) if member.error is None]
        progress = _Progress(started, recorder)
        before = progress.epochs
        with open_group([_member(experiments[number], recorder.states[number]) for number in numbers]) as group:
            recorder.follow(group, numbers)
            for place, event in group:
                recorder.handle(numbers[place], event)
                report = progress.count(numbers[place], event)
                if signum := (report and listeners.emit(report)) or should_stop():
                    recorder.close("interrupted")  # while the group still runs
                    raise _interruption(folder, progress, signum)
            errors = [member.error for member in recorder.members if member.error is not None]
            recorder.close("finished" if len(errors) < len(experiments) else "diverged")
        states = recorder.states
    listeners.listen(GroupEnded(progress.report()))
    if len(errors) == len(experiments):
        message = f"all {len(errors)} seeds diverged; the first: {errors[0]}"
        raise DivergedError(message, hint="reduce optimizer.lr or set training.gradient_clip_norm=1")
    if evaluate_test:
        evaluate_members(folder, experiments, states)
    if should_draw(folder, config):
        from dlcli.report.group import report_after_training  # imports matplotlib, which is slow

        report_after_training(folder, listeners.note)
    recovered = tuple(point.notes) if point else ()
    return replace(group_result(folder), epochs_trained=progress.epochs - before, recovered=recovered)


def _member(experiment: Experiment, saved: MemberState) -> Member:
    return Member(experiment.model, experiment.task, experiment.splits, experiment.config, copy_of(saved.state))


def _interruption(folder: GroupFolder, progress: _Progress, signum: int) -> Interrupted:
    hint = f"`dlcli train --resume {as_argument(str(folder.path))}` continues from there"
    message = f"interrupted after {progress.epochs:,} of {progress.total:,} epochs; saved {folder.checkpoint('last')}"
    return Interrupted(message, signum=signum, hint=hint)


class _Progress:
    """Counter of the events of a group, which reports a few times per second.

    Args:
        started: Start of the training.
        recorder: Recorder that knows the seeds so far.
    """

    def __init__(self, started: GroupStarted, recorder: GroupRecorder) -> None:
        self.total, self._headline = started.epochs, f"val/{started.headline}"
        self.epochs = sum(member.epochs for member in recorder.members)
        self._diverged = sum(member.error is not None for member in recorder.members)
        self._ended = self._diverged
        self._values: dict[int, tuple[float, float | None]] = {}
        self._reported = 0.0

    def count(self, number: int, event: MemberEvent) -> GroupProgress | None:
        """Count an event; return a report if one is due."""
        if isinstance(event, EpochEnded):
            self.epochs += 1
            loss = event.val.get("loss", event.train_loss)
            self._values[number] = loss, event.val.get(self._headline.removeprefix("val/"))
        else:
            self._ended += 1
            if isinstance(event, Diverged):
                self._diverged += 1
                self._values.pop(number, None)
        if time.perf_counter() - self._reported < _REPORT_SECONDS:
            return None
        self._reported = time.perf_counter()
        return self.report()

    def report(self) -> GroupProgress:
        """Return the progress so far."""
        losses = [loss for loss, _ in self._values.values()]
        metrics = [metric for _, metric in self._values.values() if metric is not None]
        means = (sum(values) / len(values) if values else None for values in (losses, metrics))
        return GroupProgress(self.epochs, self._ended, self._diverged, *means)


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
    return SeedsResult(group.path, group.status, group.seeds, diverged, epochs_trained=0, seconds=group.seconds)
