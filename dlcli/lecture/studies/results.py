"""What a study measures, and its statistics: means, standard deviations, paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from dlcli.config.schema import HIGHER_IS_BETTER
from dlcli.lecture.studies.study import Study

Verdict: TypeAlias = Literal["same", "within", "mixed", "clear"]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divided by n − 1) of n values; one value has no deviation."""

    mean: float
    sd: float | None
    n: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """Return the mean and spread of some values; None if there are none."""
    if not values:
        return None
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True)
class Training:
    """One model, trained (or solved) once.

    Attributes:
        seed: Of the validation split, the first parameters and the order of examples.
        curve: What the study follows, after each epoch; shorter if training diverged.
        train_loss: Mean loss of each epoch.
        seconds: Training and validation up to the end of each epoch, together.
        test: The task's metric on the test split, after the last epoch; None if training diverged.
        diverged: When and how the loss stopped being a finite number.
        gradient_norms: Of each layer's weights before the first step, on a fixed batch, first layer to last.
        moved: ‖W − W₀‖ / ‖W₀‖ of each layer's weights W, first to last; None where W₀ is 0.
        distinct_units: How many units of each hidden layer ended with weights of their own.
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


@dataclass(frozen=True)
class VariantResults:
    """What came of one variant, over all seeds.

    Attributes:
        label: The variant's.
        config: Its settings by their dotted names, but for the seed.
        lr: The learning rate it was trained with; None for the solution in closed form.
        tried: Where that was chosen: by learning rate, the mean of the curve; None where training diverged.
        trainings: One per seed, in order.
        reached: The first epoch in which the curve had reached the level, per seed; None where it never did.
    """

    label: str
    config: Mapping[str, Any]
    lr: float | None
    tried: Mapping[float, float | None]
    trainings: tuple[Training, ...]
    reached: tuple[int | None, ...]

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(self.config["model.hidden_sizes"])

    @property
    def test(self) -> Spread | None:
        """The metric on the test split, over the seeds that did not diverge."""
        return spread_of([one.test for one in self.trainings if one.test is not None])

    @property
    def epochs(self) -> Spread | None:
        """The epochs it took to reach the level, over the seeds that did."""
        return spread_of([one for one in self.reached if one is not None])

    @property
    def seconds(self) -> Spread | None:
        """The seconds of training and validation it took to reach the level, over the seeds that did."""
        pairs = zip(self.trainings, self.reached, strict=True)
        return spread_of([one.seconds[epoch - 1] for one, epoch in pairs if epoch is not None])

    @property
    def diverged(self) -> int:
        """In how many seeds training diverged."""
        return sum(one.diverged is not None for one in self.trainings)


@dataclass(frozen=True)
class Comparison:
    """The differences of two variants, seed by seed; a seed counts where both have a figure.

    Attributes:
        difference: Variant less reference, over the seeds that count; None if there are none.
        same_sign: In how many of them the difference has the sign of its mean.
    """

    difference: Spread | None
    same_sign: int

    @property
    def verdict(self) -> Verdict | None:
        """Whether the difference is larger than its own spread, and of one sign in every seed.

        `same` is no difference at all, `within` one no larger than its standard deviation, `mixed` one that is larger
        but not of one sign, or of one seed only; `clear` is all else. None if no seed counts.
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
        reference: A figure per seed, None where there is none.
        others: The same seeds in the same order.
    """
    pairs = zip(reference, others, strict=True)
    differences = [other - one for one, other in pairs if one is not None and other is not None]
    difference = spread_of(differences)
    mean = difference.mean if difference else 0.0
    return Comparison(difference, sum(one * mean > 0 for one in differences))


def first_epoch(curve: Sequence[float], level: float, *, higher: bool) -> int | None:
    """Return the first epoch, counted from 1, in which a curve is at or beyond a level; None if it never is."""
    return next((i for i, one in enumerate(curve, 1) if (one >= level if higher else one <= level)), None)


@dataclass(frozen=True)
class StudyResults:
    """All that a study measured.

    Attributes:
        study: What was asked.
        data: The data source.
        metric: What is measured on the test split.
        unit: Of that metric; "" for a bare number.
        level: What the curve is to reach.
        epochs: How long each model was trained.
        tuning_seed: With which learning rates were chosen.
        seeds: The others, one training of each variant each.
        settings: What the user changed for all variants.
        variants: In the study's order.
    """

    study: Study
    data: str
    metric: str
    unit: str
    level: float
    epochs: int
    tuning_seed: int
    seeds: tuple[int, ...]
    settings: tuple[str, ...]
    variants: tuple[VariantResults, ...]

    @property
    def is_higher_better(self) -> bool:
        """Whether the test metric is better the higher it is."""
        return self.metric in HIGHER_IS_BETTER

    @property
    def is_curve_rising(self) -> bool:
        """Whether a higher curve is a better one."""
        return self.study.curve == "val" and self.is_higher_better

    @property
    def reference(self) -> VariantResults:
        """The variant that the others are held against."""
        return next(one for one in self.variants if one.label == self.study.reference)

    @property
    def others(self) -> tuple[VariantResults, ...]:
        """The variants but for the reference."""
        return tuple(one for one in self.variants if one.label != self.study.reference)

    @property
    def learned(self) -> tuple[VariantResults, ...]:
        """The variants that were trained: all but the solution in closed form."""
        return tuple(one for one in self.variants if one.lr is not None)

    def compare_test(self, variant: VariantResults) -> Comparison:
        """Return a variant's test metric less the reference's."""
        return compare([one.test for one in self.reference.trainings], [one.test for one in variant.trainings])

    def later_in(self, variant: VariantResults) -> tuple[int, int]:
        """Return in how many seeds a variant reaches the level later, and earlier, than the reference.

        Not to reach it is later than any epoch.
        """
        pairs = [
            (math.inf if one is None else one, math.inf if other is None else other)
            for one, other in zip(self.reference.reached, variant.reached, strict=True)
        ]
        return sum(other > one for one, other in pairs), sum(other < one for one, other in pairs)
