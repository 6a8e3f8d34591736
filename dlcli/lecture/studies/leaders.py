"""Leading variants of a study: paired comparison of the validation curves, and variants that fail in some seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dlcli.lecture.studies.results import StudyResults, Training, VariantResults, compare

# 95 % quantiles of Student's t with 1, 2, ... degrees of freedom; the last is used for more.
_T = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)
CLEAR_SEEDS = 3  # with fewer seeds, a variant may be better in each of them, but not clearly better
_FAILED = 0.5  # a variant fails below this fraction of the best skill with the same seed
_AT_CHANCE = 0.1  # up to this skill, a model is no better than a constant prediction; a perfect model has skill 1


def leaders(results: StudyResults) -> tuple[VariantResults, ...]:
    """Return the best variant on the validation curves and the variants that it does not beat.

    The best variant needs the fewest epochs to the level on average or, in a study without a level, has the best mean
    at the end. A variant can only lead if it reaches the level with every seed or, without a level, never diverges.
    Variants that fail in some seeds (see `find_failures`) lead only if all variants fail. The user's own config comes
    first if it is a leader, otherwise the best variant. Empty if no variant can lead.
    """
    costs = {variant.label: _costs(results, variant) for variant in results.learned}
    able = [variant for variant in results.learned if math.inf not in costs[variant.label]]
    failed = {failure.variant.label for failure in find_failures(results)}
    able = [variant for variant in able if variant.label not in failed] or able
    if not able:
        return ()
    best = min(able, key=lambda variant: statistics.fmean(costs[variant.label]))
    leading = [best, *(variant for variant in able if variant is not best and not beats(results, best, variant))]
    return tuple(sorted(leading, key=lambda variant: variant.label != results.study.own))


def beats(results: StudyResults, better: VariantResults, worse: VariantResults) -> bool:
    """Return whether a variant is better than another on the validation curves.

    With three or more seeds, the paired differences must be significant (one-sided t-test, 95 %). With two, the
    variant must be better in both. The mean difference must also exceed the weight of a single example, or one epoch.
    """
    weight = 1.0
    if results.level is None:
        weight = max(_weight(results, training.n_val) for training in (*better.trainings, *worse.trainings))
    return _is_larger(_costs(results, better), _costs(results, worse), weight)


def beats_on_test(results: StudyResults, better: VariantResults, worse: VariantResults) -> bool:
    """Return whether a variant is better than another on the test split; see `beats`."""
    if better.diverged or worse.diverged:
        return False
    sign = -1 if results.is_higher_better else 1
    first, second = ([sign * (run.test or 0.0) for run in variant.trainings] for variant in (better, worse))
    return _is_larger(first, second, max(_weight(results, training.n_test) for training in better.trainings))


def _weight(results: StudyResults, n: int) -> float:
    """Return the effect of a single one of `n` examples on the metric; 0 for errors, which vary continuously."""
    return 1 / n if results.metric == "accuracy" and n else 0.0


def _is_larger(first: Sequence[float], second: Sequence[float], weight: float) -> bool:
    """Return whether the second values are larger than the first, paired by seed.

    A standard deviation below `weight` is an effect of the coarse metric and counts as `weight`.
    """
    comparison = compare(first, second)
    difference = comparison.difference
    if difference is None or not math.isfinite(difference.mean) or difference.mean <= weight * (1 + 1e-6):
        return False
    if difference.n < CLEAR_SEEDS:
        return difference.n > 1 and comparison.same_sign == difference.n
    quantile = _T[min(difference.n, len(_T) + 1) - 2]
    return difference.mean > quantile * max(difference.sd or 0.0, weight) / math.sqrt(difference.n)


def _costs(results: StudyResults, variant: VariantResults) -> list[float]:
    """Return each seed's epochs to the level or, without a level, the (negated) end of its curve; lower is better."""
    if results.level is not None:
        return [math.inf if epoch is None else epoch for epoch in variant.reached]
    sign = -1 if results.is_curve_rising else 1
    return [sign * run.curve[-1] if run.diverged is None else math.inf for run in variant.trainings]


@dataclass(frozen=True)
class Failure:
    """A variant that is far worse than the best in some seeds.

    Attributes:
        variant: The variant.
        ends: Ends of its validation curves in these seeds.
        is_chance: Whether all of these ends are as bad as a constant prediction.
    """

    variant: VariantResults
    ends: tuple[float, ...]
    is_chance: bool


def find_failures(results: StudyResults) -> list[Failure]:
    """Return the variants that, in some seeds, have less than half of the best skill with the same seed.

    A constant prediction has skill 0, a perfect prediction has skill 1. Diverged seeds and studies with a level are
    left out, because other sentences report them.
    """
    if results.level is not None or results.study.curve == "distance" or is_all_at_chance(results):
        return []
    failures = []
    by_seed = list(zip(*(variant.trainings for variant in results.learned), strict=True))
    best = [max((_skill(results, training) for training in trainings), default=0.0) for trainings in by_seed]
    for variant in results.learned:
        pairs = zip(variant.trainings, best, strict=True)
        failed = [run for run, top in pairs if run.diverged is None and _skill(results, run) < _FAILED * top]
        if failed:
            is_chance = all(_skill(results, run) <= _AT_CHANCE for run in failed)
            failures.append(Failure(variant, tuple(run.curve[-1] for run in failed), is_chance))
    return failures


def is_all_at_chance(results: StudyResults) -> bool:
    """Return whether no training of any variant ends better than a constant prediction."""
    if results.level is not None or results.study.curve == "distance":
        return False
    trainings = [run for variant in results.learned for run in variant.trainings if run.diverged is None]
    return bool(trainings) and all(_skill(results, run) <= _AT_CHANCE for run in trainings)


def _skill(results: StudyResults, training: Training) -> float:
    if training.diverged is not None:
        return -math.inf
    perfect = 1.0 if results.is_higher_better else 0.0
    return (training.curve[-1] - training.by_chance) / (perfect - training.by_chance or math.inf)
