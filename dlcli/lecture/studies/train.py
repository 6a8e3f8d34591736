"""Paired training of config variants from the same seeds, in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from dlcli.config.render import flatten
from dlcli.config.schema import Config
from dlcli.lecture.studies.plan import Plan
from dlcli.lecture.studies.results import StudyResults, Training, VariantResults, first_epoch
from dlcli.lecture.studies.sentences import format_number
from dlcli.lecture.studies.study import Variant
from dlcli.lecture.studies.trainer import Job, StudyListeners, Trainer

_MOST_LISTED = 6  # maximum number of variants with their test metrics in one line


class PairedTraining:
    """Trainer for all variants and seeds of a plan.

    For a given seed, all variants share the splits, the initial parameters (where shapes agree) and the example order.
    Models are trained together, unless the study measures them after each epoch or compares their times, or a config
    forbids it.

    Args:
        plan: Plan of the study.
        listeners: Callbacks.
    """

    def __init__(self, plan: Plan, listeners: StudyListeners) -> None:
        self._plan, self._listeners = plan, listeners
        self._trainer = Trainer(plan, listeners)
        may_be_together = all(config.training.together == "auto" for config in plan.configs.values())
        self._tries_together = may_be_together and plan.study.curve == "val"
        self._is_together = self._tries_together and not plan.study.compares_times

    @property
    def device(self) -> torch.device:
        """Device of the trainings."""
        return self._trainer.device

    def run(self) -> StudyResults:
        """Choose the learning rates, train every variant with every seed, and return the measurements."""
        plan = self._plan
        tried = self._try_lrs()
        configs = dict(plan.configs)
        for label, scores in tried.items():
            configs[label] = _with_lr(configs[label], plan.best_lr(scores))
        by_seed = self._train_seeds(configs)
        return StudyResults(
            study=plan.study,
            data=plan.data,
            metric=plan.metric,
            unit=self._trainer.unit,
            level=plan.level,
            epochs=plan.epochs,
            tuning_seed=plan.tuning_seed,
            seeds=plan.seeds,
            settings=plan.settings,
            variants=tuple(
                self._collect(variant, configs[variant.label], tried.get(variant.label, {}), by_seed)
                for variant in plan.study.variants
            ),
            is_together=self._is_together,
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
            setup=self._trainer.setups[variant.label],
            lr=None if variant.is_solved else config.optimizer.lr,
            tried=tried,
            trainings=trainings,
            reached=tuple(
                None if level is None else first_epoch(training.curve, level, higher=higher) for training in trainings
            ),
        )

    def _try_lrs(self) -> dict[str, dict[float, float | None]]:
        """Train with the tuning seed; return the mean of each curve by variant and rate, None if it diverged."""
        plan = self._plan
        variants = [variant for variant in plan.study.variants if plan.lrs and not variant.is_solved]
        jobs = (
            Job(
                variant,
                _with_seed(_with_lr(plan.configs[variant.label], lr), plan.tuning_seed),
                f"{variant.label}, lr {lr:g}",
                tests=False,
            )
            for variant in variants
            for lr in plan.lrs
        )
        trainings = self._trainer.train(jobs, together=self._tries_together)
        choice = ", ".join(f"{lr:g}" for lr in plan.lrs)
        tried: dict[str, dict[float, float | None]] = {}
        for variant in variants:
            scores = {lr: _mean_of_curve(next(trainings)) for lr in plan.lrs}
            self._listeners.tell(f"{variant.label}: lr {plan.best_lr(scores):g} is the best of {choice}")
            tried[variant.label] = scores
        return tried

    def _train_seeds(self, configs: Mapping[str, Config]) -> list[dict[str, Training]]:
        """Return the trainings by variant, for each seed."""
        variants = self._plan.study.variants
        jobs = (
            Job(variant, _with_seed(configs[variant.label], seed), f"{variant.label}, seed {seed}")
            for seed in self._plan.seeds
            for variant in variants
        )
        trainings = self._trainer.train(jobs, together=self._is_together)
        by_seed = []
        for seed in self._plan.seeds:
            start = time.perf_counter()
            by_seed.append({variant.label: next(trainings) for variant in variants})
            seconds = "" if self._is_together else f"; {time.perf_counter() - start:.1f} s"
            self._listeners.tell(f"seed {seed}: test {self._plan.metric} {_list_scores(by_seed[-1])}{seconds}")
        return by_seed


def _mean_of_curve(training: Training) -> float | None:
    return None if training.diverged else sum(training.curve) / len(training.curve)


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
