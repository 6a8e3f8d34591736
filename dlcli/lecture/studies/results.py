"""Results of a study and their statistics: means, standard deviations and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.evaluation.seed_statistics import MeanSd, mean_sd
from dlcli.lecture.studies.study import Study

Verdict: TypeAlias = Literal["same", "within", "mixed", "clear"]


@dataclass(frozen=True)
class Training:
    """Results of one training (or one closed-form solution) of one model.

    Attributes:
        seed: Seed of the validation split, the initial parameters and the order of examples.
        curve: Value that the study measures after each epoch; shorter if training diverged or stopped early.
        train_loss: Mean training loss of each epoch.
        seconds: Cumulative time of training and validation at the end of each epoch; empty if the model was trained
            together with others.
        test: Metric on the test split after the last epoch; None if training diverged.
        diverged: Description of the divergence; None if the loss stayed finite.
        gradient_norms: Gradient norm of each layer's weights before the first step, on a fixed batch, first to last.
        moved: ‖W − W₀‖ / ‖W₀‖ of each layer's weights W, first to last; None where W₀ is 0. Empty if training diverged.
        distinct_units: Number of units of each hidden layer with distinct final weights; empty if training diverged.
        by_chance: Metric of the best constant prediction on val.
        n_val: Number of validation examples.
        n_test: Number of test examples.
    """

    seed: int
    curve: tuple[float, ...]
    train_loss: tuple[float, ...]
    seconds: tuple[float, ...]
    test: float | None
    diverged: str | None
    gradient_norms: tuple[float, ...]
    moved: tuple[float | None, ...]
    distinct_units: tuple[int, ...]
    by_chance: float
    n_val: int
    n_test: int


@dataclass(frozen=True)
class VariantResults:
    """Results of one variant over all seeds.

    Attributes:
        label: Label of the variant.
        config: Settings by their dotted names, without the seed.
        setup: Data, model and optimizer in a few words, see `describe_setup`.
        lr: Learning rate of the trainings; None for the closed-form solution.
        tried: Mean of the curve by tried learning rate, if tuned; None where training diverged.
        trainings: Trainings, one per seed, in order.
        reached: First epoch at which the curve reaches the level, per seed; None if it never does.
    """

    label: str
    config: Mapping[str, Any]
    setup: tuple[str, ...]
    lr: float | None
    tried: Mapping[float, float | None]
    trainings: tuple[Training, ...]
    reached: tuple[int | None, ...]

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Number of units of each hidden layer."""
        return tuple(self.config["model.hidden_sizes"])

    @property
    def test(self) -> MeanSd | None:
        """The metric on the test split, over the seeds that did not diverge."""
        return mean_sd([training.test for training in self.trainings if training.test is not None])

    @property
    def epochs(self) -> MeanSd | None:
        """Number of epochs until the level is reached, over the seeds that reach it."""
        return mean_sd([epoch for epoch in self.reached if epoch is not None])

    @property
    def seconds(self) -> MeanSd | None:
        """Time of training and validation until the level is reached, over the seeds that reach it, if measured."""
        pairs = zip(self.trainings, self.reached, strict=True)
        return mean_sd([run.seconds[epoch - 1] for run, epoch in pairs if epoch is not None and run.seconds])

    @property
    def end(self) -> MeanSd | None:
        """Value at the end of the curve, over the seeds that did not diverge."""
        return mean_sd([training.curve[-1] for training in self.trainings if training.diverged is None])

    @property
    def diverged(self) -> int:
        """Number of seeds whose training diverged."""
        return sum(training.diverged is not None for training in self.trainings)


@dataclass(frozen=True)
class Comparison:
    """Differences of two variants, paired by seed, over the seeds for which both have a value.

    Attributes:
        difference: Variant minus reference over these seeds; None if there are no such seeds.
        same_sign: Number of these seeds whose difference has the sign of the mean.
    """

    difference: MeanSd | None
    same_sign: int

    @property
    def verdict(self) -> Verdict | None:
        """Whether the difference exceeds its standard deviation and has the same sign in every seed.

        `same`: no difference at all. `within`: not larger than its standard deviation. `mixed`: larger, but with
        different signs or from a single seed. `clear`: all other cases. None if no seed has both values.
        """
        difference = self.difference
        if difference is None:
            return None
        if difference.mean == 0 and not difference.sd:
            return "same"
        if difference.sd is not None and abs(difference.mean) <= difference.sd:
            return "within"
        return "clear" if self.same_sign == difference.n > 1 else "mixed"


def compare(reference: Sequence[float | None], others: Sequence[float | None]) -> Comparison:
    """Return the paired differences `others` − `reference`, seed by seed.

    Args:
        reference: Values of the reference, one per seed; None if missing.
        others: Values of the variant, for the same seeds in the same order.
    """
    pairs = zip(reference, others, strict=True)
    differences = [b - a for a, b in pairs if a is not None and b is not None]
    difference = mean_sd(differences)
    mean = difference.mean if difference else 0.0
    return Comparison(difference, sum(value * mean > 0 for value in differences))


def first_epoch(curve: Sequence[float], level: float, *, higher: bool) -> int | None:
    """Return the first epoch, counted from 1, at which a curve reaches a level; None if it never does."""
    return next((i for i, value in enumerate(curve, 1) if (value >= level if higher else value <= level)), None)


@dataclass(frozen=True)
class StudyResults:
    """All results of a study.

    Attributes:
        study: Definition of the study.
        data: Name of the data source.
        metric: Name of the metric on the test split.
        unit: Unit of the metric; "" if it has none.
        level: Value that the curve should reach; None if the study compares the ends of the curves.
        epochs: Number of training epochs of each model; with early stopping, the maximum.
        tuning_seed: Seed used to tune the learning rates.
        seeds: Seeds of the comparison, with one training per variant and seed.
        settings: Overrides by the user for all variants.
        variants: Results of the variants, in the order of the study.
        is_together: Whether the models were trained together, without separate times.
    """

    study: Study
    data: str
    metric: str
    unit: str
    level: float | None
    epochs: int
    tuning_seed: int
    seeds: tuple[int, ...]
    settings: tuple[str, ...]
    variants: tuple[VariantResults, ...]
    is_together: bool = False

    @property
    def is_higher_better(self) -> bool:
        """Whether a higher test metric is better."""
        return self.metric in HIGHER_IS_BETTER

    @property
    def is_curve_rising(self) -> bool:
        """Whether a higher curve is better."""
        return self.study.curve == "val" and self.is_higher_better

    @property
    def stopped_early(self) -> int:
        """Number of trainings that early stopping ended."""
        trainings = [training for variant in self.learned for training in variant.trainings]
        return sum(training.diverged is None and len(training.curve) < self.epochs for training in trainings)

    @property
    def reference(self) -> VariantResults:
        """The variant that the others are compared with."""
        return next(variant for variant in self.variants if variant.label == self.study.reference)

    @property
    def others(self) -> tuple[VariantResults, ...]:
        """All variants except the reference."""
        return tuple(variant for variant in self.variants if variant.label != self.study.reference)

    @property
    def learned(self) -> tuple[VariantResults, ...]:
        """All trained variants, without the closed-form solution."""
        return tuple(variant for variant in self.variants if variant.lr is not None)

    def compare_test(self, variant: VariantResults, reference: VariantResults | None = None) -> Comparison:
        """Compare the test metrics of a variant and of another one, by default the study's reference."""
        return compare(
            [training.test for training in (reference or self.reference).trainings],
            [training.test for training in variant.trainings],
        )

    def later_in(self, variant: VariantResults) -> tuple[int, int]:
        """Return the numbers of seeds in which a variant reaches the level later, and earlier, than the reference.

        A level that is never reached counts as later than any epoch.
        """
        pairs = [
            (math.inf if a is None else a, math.inf if b is None else b)
            for a, b in zip(self.reference.reached, variant.reached, strict=True)
        ]
        return sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
