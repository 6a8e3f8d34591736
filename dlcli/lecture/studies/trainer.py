"""Trainings of a study: several together, or one after the other if the study measures single trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from dlcli.config.schema import Config, DataSection
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError, Interrupted
from dlcli.experiment import Experiment, build_experiment
from dlcli.lecture.studies.measures import solve_least_squares
from dlcli.lecture.studies.plan import Plan
from dlcli.lecture.studies.recording import Recording
from dlcli.lecture.studies.results import Training
from dlcli.lecture.studies.sentences import count
from dlcli.lecture.studies.study import Variant
from dlcli.overview import describe_setup
from dlcli.training.device import convert_memory_errors
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit
from dlcli.training.together.members import Diverged, Events, Member
from dlcli.training.together.workers import open_group

# Maximum size of data, and of models, to train together: 9 seeds of Fashion-MNIST, or one seed of a larger table.
_MOST_BYTES = 2**29
_COPIES = 8  # memory of a model / its parameters: gradients, two moments, and copies of all in the group


@dataclass(frozen=True)
class StudyListeners:
    """Callbacks of a running study.

    Attributes:
        advance: Called with the current activity, the number of completed epochs and the total number of epochs.
        tell: Called with a one-line message after a learning rate is chosen or a seed is finished.
        notify: Called with a one-line message before a download; None disables downloads.
        should_stop: Called after each training event; a returned signal number ends the study.
    """

    advance: Callable[[str, int, int], None] = lambda activity, done, total: None
    tell: Callable[[str], None] = lambda line: None
    notify: Callable[[str], None] | None = None
    should_stop: Callable[[], int | None] = lambda: None


@dataclass(frozen=True)
class Job:
    """One training to do.

    Attributes:
        variant: Variant to train.
        config: Config of the variant, with seed and learning rate.
        activity: Name of the training in progress messages.
        tests: Whether to measure the test split afterwards.
    """

    variant: Variant
    config: Config
    activity: str
    tests: bool = True


class Trainer:
    """Trainer of models of a study.

    Trainings with the same seed and data share their splits.

    Args:
        plan: Plan of the study.
        listeners: Callbacks.

    Attributes:
        device: Device of the last training.
        unit: Unit of the metric; "" if it has none.
        setups: Data, model and optimizer by variant, see `describe_setup`.
    """

    def __init__(self, plan: Plan, listeners: StudyListeners) -> None:
        self._plan, self._listeners = plan, listeners
        self.device, self.unit = torch.device("cpu"), ""
        self.setups: dict[str, tuple[str, ...]] = {}
        trained = sum(not variant.is_solved for variant in plan.study.variants)
        self._total, self._done = trained * (len(plan.lrs) + len(plan.seeds)) * plan.epochs, 0
        self._splits: Splits | None = None  # splits of the last training; `_key` is its seed and data
        self._key: tuple[int, DataSection] | None = None

    def train(self, jobs: Iterable[Job], *, together: bool) -> Iterator[Training]:
        """Yield the results of each job, in order, as soon as they are known.

        Args:
            jobs: Trainings to do.
            together: Whether to train several models at once. The results stay the same, but there are no separate
                times. The curve must be the validation metric, because models can only be measured after training.
        """
        if not together:
            yield from map(self._train_alone, jobs)
            return
        for group in self._take_groups(jobs):
            trainings = self._train_together(group)
            group.clear()  # frees the data of the group before the next group is loaded
            yield from trainings

    def _take_groups(self, jobs: Iterable[Job]) -> Iterator[list[tuple[Job, Recording]]]:
        """Yield the jobs, ready to be trained, in groups whose data and models fit into memory together."""
        group: list[tuple[Job, Recording]] = []
        data: dict[int, int] = {}  # bytes by address; trainings with the same seed share tensors
        added = models = 0  # bytes of data that the last job added, and of the models of the group
        for job in jobs:
            is_full = models >= _MOST_BYTES or (
                not self._holds_splits(job) and sum(data.values()) + added > _MOST_BYTES
            )
            if group and is_full:
                yield group
                group, data, models = [], {}, 0
            group.append((job, self._record(job)))
            sizes = _sizes_of(group[-1][1].experiment.splits)
            data, added = data | sizes, sum(sizes.values())
            models += _COPIES * _bytes_of_parameters(group[-1][1].experiment.model)
        if group:
            yield group

    def _record(self, job: Job) -> Recording:
        experiment = self._build(job)
        with convert_memory_errors(job.config):
            return Recording(experiment, self._plan.metric)

    def _train_together(self, jobs: Sequence[tuple[Job, Recording]]) -> list[Training]:
        experiments = [recording.experiment for _, recording in jobs]
        members = [Member(item.model, item.task, item.splits, item.config) for item in experiments]
        activity = count(len(members), "training")
        with convert_memory_errors(experiments[0].config), open_group(members) as group:
            for events in group:
                self._handle(events, jobs, activity)
                self._raise_if_stopped()
            events, snapshots = group.snapshots()
            self._handle(events, jobs, activity)
            for snapshot in snapshots:  # worker processes do not change the models of this process
                if jobs[snapshot.number][1].diverged is None:
                    assert snapshot.state is not None, "only divergence leaves no state"
                    experiments[snapshot.number].model.load_state_dict(dict(snapshot.state.parameters))
            return [recording.finish(tests=job.tests, has_times=False) for job, recording in jobs]

    def _handle(self, events: Events, jobs: Sequence[tuple[Job, Recording]], activity: str) -> None:
        for number, event in events:
            recording = jobs[number][1]
            if isinstance(event, EpochEnded):
                recording.add(event, event.val[self._plan.metric])
                self._advance(activity, 1)
            else:
                recording.diverged = event.message if isinstance(event, Diverged) else None
                self._advance(activity, self._plan.epochs - recording.epochs)

    def _train_alone(self, job: Job) -> Training:
        """Train or solve a variant; the model is measured after each epoch if the study needs it."""
        experiment = self._build(job)
        is_distance = self._plan.study.curve == "distance"
        solution = solve_least_squares(experiment.splits.train) if is_distance else None
        with convert_memory_errors(job.config):
            if job.variant.is_solved:
                assert solution is not None, "only the reference of distances is solved"
                solution.write_to(experiment.model)
                return Recording(experiment, self._plan.metric).finish(tests=job.tests, has_times=True)
            recording = Recording(experiment, self._plan.metric)
            model = experiment.model
            try:
                fit = Fit(model, experiment.task, experiment.splits, experiment.config, world=experiment.world)
                for event in fit:
                    if isinstance(event, EpochEnded):
                        recording.add(event, solution.distance_of(model) if solution else event.val[self._plan.metric])
                        self._advance(job.activity, 1)
                    self._raise_if_stopped()
            except DivergedError as error:
                recording.diverged = error.message
            self._advance(job.activity, self._plan.epochs - recording.epochs)  # skipped by divergence or early stopping
            return recording.finish(tests=job.tests, has_times=True)

    def _build(self, job: Job) -> Experiment:
        """Return the data, model and task of a job."""
        self._raise_if_stopped()
        self._advance(job.activity, 0)
        if not self._holds_splits(job):
            self._splits = None  # frees these splits before others are loaded
        experiment = build_experiment(job.config, notify=self._listeners.notify, splits=self._splits)
        self._key, self._splits = (job.config.seed, job.config.data), experiment.splits
        self.unit, self.device = experiment.splits.info.target_unit, experiment.device
        self.setups[job.variant.label] = describe_setup(job.config, experiment.splits.info)
        return experiment

    def _holds_splits(self, job: Job) -> bool:
        return self._splits is not None and self._key == (job.config.seed, job.config.data)

    def _advance(self, activity: str, epochs: int) -> None:
        self._done += epochs
        self._listeners.advance(activity, self._done, self._total)

    def _raise_if_stopped(self) -> None:
        if signum := self._listeners.should_stop():
            raise Interrupted("interrupted: an unfinished study saves no results", signum=signum)


def _sizes_of(splits: Splits) -> dict[int, int]:
    """Return the bytes of the tensors by their addresses."""
    tensors = [tensor for split in (splits.train, splits.val, splits.test) for tensor in (split.stored, split.targets)]
    return {tensor.data_ptr(): tensor.nbytes for tensor in tensors}


def _bytes_of_parameters(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())
