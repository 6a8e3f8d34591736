"""Paired training of config variants from the same seeds, in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from dlcli.config.render import flatten
from dlcli.config.schema import Config, DataSection
from dlcli.data.splits import Splits
from dlcli.errors import DivergedError, Interrupted
from dlcli.experiment import Experiment, build_experiment
from dlcli.lecture.studies.measures import (
    LinearSolution,
    distinct_units,
    gradient_norms,
    relative_movement,
    score_by_chance,
    solve_least_squares,
    weights_of,
)
from dlcli.lecture.studies.plan import Plan
from dlcli.lecture.studies.results import StudyResults, Training, VariantResults, first_epoch
from dlcli.lecture.studies.sentences import format_number
from dlcli.lecture.studies.study import Variant
from dlcli.overview import describe_setup
from dlcli.training.device import convert_memory_errors
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded
from dlcli.training.fit import Fit

_MOST_LISTED = 6  # variants whose test metrics are in one line


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


class PairedTraining:
    """Trainer for all variants and seeds of a plan.

    For a given seed, all variants share the splits, the initial parameters (where shapes agree) and the example order.

    Args:
        plan: Plan of the study.
        listeners: Callbacks.
    """

    def __init__(self, plan: Plan, listeners: StudyListeners) -> None:
        self._plan, self._listeners = plan, listeners
        trained = sum(not variant.is_solved for variant in plan.study.variants)
        self._total, self._done = trained * (len(plan.lrs) + len(plan.seeds)) * plan.epochs, 0
        self._unit = ""
        self._data: DataSection | None = None
        self._setups: dict[str, tuple[str, ...]] = {}
        self.device = torch.device("cpu")

    def run(self) -> StudyResults:
        """Choose the learning rates, train every variant with every seed, and return the measurements."""
        plan = self._plan
        tried = {
            variant.label: self._try_lrs(variant)
            for variant in plan.study.variants
            if plan.lrs and not variant.is_solved
        }
        configs = dict(plan.configs)
        for label, scores in tried.items():
            configs[label] = _with_lr(configs[label], plan.best_lr(scores))
        by_seed = [self._train_seed(seed, configs) for seed in plan.seeds]
        return StudyResults(
            study=plan.study,
            data=plan.data,
            metric=plan.metric,
            unit=self._unit,
            level=plan.level,
            epochs=plan.epochs,
            tuning_seed=plan.tuning_seed,
            seeds=plan.seeds,
            settings=plan.settings,
            variants=tuple(
                self._collect(variant, configs[variant.label], tried.get(variant.label, {}), by_seed)
                for variant in plan.study.variants
            ),
        )

    def _collect(
        self,
        variant: Variant,
        config: Config,
        tried: Mapping[float, float | None],
        by_seed: list[dict[str, Training]],
    ) -> VariantResults:
        trainings = tuple(trainings[variant.label] for trainings in by_seed)
        level, higher = self._plan.level, self._plan.is_curve_rising
        return VariantResults(
            label=variant.label,
            config={key: value for key, value in flatten(config).items() if key not in ("seed", "name")},
            setup=self._setups[variant.label],
            lr=None if variant.is_solved else config.optimizer.lr,
            tried=tried,
            trainings=trainings,
            reached=tuple(
                None if level is None else first_epoch(training.curve, level, higher=higher) for training in trainings
            ),
        )

    def _try_lrs(self, variant: Variant) -> dict[float, float | None]:
        """Return the mean of a variant's curve by learning rate, with the tuning seed; None if training diverged."""
        plan, splits = self._plan, None
        scores: dict[float, float | None] = {}
        for lr in plan.lrs:
            config = _with_seed(_with_lr(plan.configs[variant.label], lr), plan.tuning_seed)
            training, splits = self._train(variant, config, splits, f"{variant.label}, lr {lr:g}", tests=False)
            scores[lr] = None if training.diverged else sum(training.curve) / len(training.curve)
        choice = ", ".join(f"{lr:g}" for lr in scores)
        self._listeners.tell(f"{variant.label}: lr {plan.best_lr(scores):g} is the best of {choice}")
        return scores

    def _train_seed(self, seed: int, configs: Mapping[str, Config]) -> dict[str, Training]:
        """Train every variant with a seed, on the same splits."""
        start, splits = time.perf_counter(), None
        trainings: dict[str, Training] = {}
        for variant in self._plan.study.variants:
            config = _with_seed(configs[variant.label], seed)
            trainings[variant.label], splits = self._train(variant, config, splits, f"{variant.label}, seed {seed}")
        seconds = time.perf_counter() - start
        self._listeners.tell(f"seed {seed}: test {self._plan.metric} {_list_scores(trainings)}; {seconds:.1f} s")
        return trainings

    def _train(
        self, variant: Variant, config: Config, splits: Splits | None, activity: str, *, tests: bool = True
    ) -> tuple[Training, Splits]:
        """Train or solve a variant; return its measurements, and the splits for the next variant with the same seed."""
        self._advance(activity, 0)
        if splits is not None and config.data != self._data:
            splits = None  # the study varies a setting of the data
        self._data = config.data
        experiment = build_experiment(config, notify=self._listeners.notify, splits=splits)
        self._unit, self.device = experiment.splits.info.target_unit, experiment.device
        self._setups[variant.label] = describe_setup(config, experiment.splits.info)
        is_distance = self._plan.study.curve == "distance"
        solution = solve_least_squares(experiment.splits.train) if is_distance else None
        with convert_memory_errors(config):
            if variant.is_solved:
                assert solution is not None, "only the reference of distances is solved"
                solution.write_to(experiment.model)
                return self._follow(experiment, solution, None, tests=tests), experiment.splits
            return self._follow(experiment, solution, activity, tests=tests), experiment.splits

    def _follow(
        self, experiment: Experiment, solution: LinearSolution | None, activity: str | None, *, tests: bool
    ) -> Training:
        """Train a model and record its curve; without an `activity`, measure it without training."""
        model, splits = experiment.model, experiment.splits
        norms, before = gradient_norms(model, experiment.task, splits), weights_of(model)
        by_chance = score_by_chance(model, experiment.task, splits, self._plan.metric)
        epochs: list[EpochEnded] = []
        curve: list[float] = []
        diverged: str | None = None
        try:
            for event in Fit(model, experiment.task, splits, experiment.config) if activity else ():
                if isinstance(event, EpochEnded):
                    epochs.append(event)
                    curve.append(solution.distance_of(model) if solution else event.val[self._plan.metric])
                    self._advance(activity or "", 1)
                self._raise_if_stopped()
        except DivergedError as error:
            diverged = error.message
        if activity:
            self._advance(activity, self._plan.epochs - len(epochs))  # divergence or early stopping leaves epochs out
        after = weights_of(model)
        return Training(
            seed=experiment.config.seed,
            curve=tuple(curve),
            train_loss=tuple(epoch.train_loss for epoch in epochs),
            seconds=tuple(itertools.accumulate(epoch.epoch_seconds for epoch in epochs)),
            test=self._measure(experiment) if tests and diverged is None else None,
            diverged=diverged,
            gradient_norms=norms,
            moved=relative_movement(before, after),
            distinct_units=distinct_units(after),
            by_chance=by_chance,
            n_val=len(splits.val),
            n_test=len(splits.test),
        )

    def _measure(self, experiment: Experiment) -> float:
        """Return the task's metric on the test split, which is used only once, after training."""
        return experiment.task.metrics(evaluate_split(experiment.model, experiment.task, experiment.splits.test))[
            self._plan.metric
        ]

    def _advance(self, activity: str, epochs: int) -> None:
        self._done += epochs
        self._listeners.advance(activity, self._done, self._total)

    def _raise_if_stopped(self) -> None:
        if signum := self._listeners.should_stop():
            raise Interrupted("interrupted: an unfinished study saves no results", signum=signum)


def _list_scores(trainings: Mapping[str, Training]) -> str:
    """Return the test metric of each variant; of many variants, the lowest and the highest."""
    tests = {label: training.test for label, training in trainings.items()}
    finished = [test for test in tests.values() if test is not None]
    if len(tests) <= _MOST_LISTED or not finished:
        scores = (f"{label} {'diverged' if test is None else format_number(test)}" for label, test in tests.items())
        return ", ".join(scores)
    diverged = len(tests) - len(finished)
    extremes = f"{format_number(min(finished))} to {format_number(max(finished))}"
    return f"{extremes}{f', {diverged} diverged' if diverged else ''}"


def _with_lr(config: Config, lr: float) -> Config:
    return config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"lr": lr})})


def _with_seed(config: Config, seed: int) -> Config:
    return config.model_copy(update={"seed": seed})
