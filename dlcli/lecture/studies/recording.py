"""Measurements of a study before, during and after one training."""

from __future__ import annotations

import itertools

from dlcli.experiment import Experiment
from dlcli.lecture.studies.measures import (
    distinct_units,
    gradient_norms,
    relative_movement,
    score_by_chance,
    weights_of,
)
from dlcli.lecture.studies.results import Training
from dlcli.training.evaluation import evaluate_split
from dlcli.training.events import EpochEnded


class Recording:
    """Measurements of one training.

    Args:
        experiment: Untrained model, data and task; the model is measured immediately.
        metric: Name of the metric on the test split.

    Attributes:
        diverged: Description of the divergence; None if the loss stayed finite.
    """

    def __init__(self, experiment: Experiment, metric: str) -> None:
        model, task, splits = experiment.model, experiment.task, experiment.splits
        self.experiment, self._metric = experiment, metric
        self._norms, self._before = gradient_norms(model, task, splits), weights_of(model)
        self._by_chance = score_by_chance(model, task, splits, metric)
        self._epochs: list[EpochEnded] = []
        self._curve: list[float] = []
        self.diverged: str | None = None

    @property
    def epochs(self) -> int:
        """Number of recorded epochs."""
        return len(self._epochs)

    def add(self, epoch: EpochEnded, value: float) -> None:
        """Record an epoch with the value that the study measures after it."""
        self._epochs.append(epoch)
        self._curve.append(value)

    def finish(self, *, tests: bool, has_times: bool) -> Training:
        """Measure the trained model and return all measurements.

        Args:
            tests: Whether to measure the test split, which is used only once, after training.
            has_times: Whether the times of the epochs are those of this training alone.
        """
        splits, is_finished = self.experiment.splits, self.diverged is None
        after = weights_of(self.experiment.model)
        return Training(
            seed=self.experiment.config.seed,
            curve=tuple(self._curve),
            train_loss=tuple(epoch.train_loss for epoch in self._epochs),
            seconds=tuple(itertools.accumulate(epoch.epoch_seconds for epoch in self._epochs)) if has_times else (),
            test=self._measure_test() if tests and is_finished else None,
            diverged=self.diverged,
            gradient_norms=self._norms,
            moved=relative_movement(self._before, after) if is_finished else (),
            distinct_units=distinct_units(after) if is_finished else (),
            by_chance=self._by_chance,
            n_val=len(splits.val),
            n_test=len(splits.test),
        )

    def _measure_test(self) -> float:
        experiment = self.experiment
        sums = evaluate_split(experiment.model, experiment.task, experiment.splits.test)
        return experiment.task.metrics(sums)[self._metric]
