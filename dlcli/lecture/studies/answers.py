"""What each study's numbers say about its own question, in sentences that are true whatever the numbers are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Sequence

from dlcli.lecture.studies.results import StudyResults, Training, VariantResults
from dlcli.lecture.studies.sentences import count, in_some, join


def answer_pair(results: StudyResults) -> list[str]:
    """Say which of two is sooner at the level, and how many times as many epochs the other needs."""
    reference, (other,) = results.reference, results.others
    later, earlier = results.later_in(other)
    n = len(results.seeds)
    if later == earlier == 0:
        return []
    if later + earlier and later == earlier:
        return [f"In {earlier} of {count(n, 'seed')} {other.label} is sooner than {reference.label}, in {later} later."]
    slow, fast, seeds = (other, reference, later) if later > earlier else (reference, other, earlier)
    sentences = [f"In {seeds} of {count(n, 'seed')} {slow.label} gets there later than {fast.label}."]
    pairs = zip(fast.reached, slow.reached, strict=True)
    ratios = [after / before for before, after in pairs if before is not None and after is not None]
    if ratios and seeds == n:
        where = "" if len(ratios) == n else f" (where both get there: {count(len(ratios), 'seed')})"
        times = f"{statistics.fmean(ratios):.1f} times as many epochs"
        sentences.append(f"It takes {times}, as a mean over the seeds{where}.")
    return sentences


def answer_movement(results: StudyResults) -> list[str]:
    """Say how far the weights of each layer moved."""
    sentences = []
    for variant in results.variants:
        moved = movement_means(variant)
        if not moved:
            continue
        below, last = moved[:-1], moved[-1]
        if below and all(one == 0 for one in below):
            which = "the layer" if len(below) == 1 else f"the {len(below)} layers"
            sentences.append(
                f"With {variant.label} the weights of {which} below the last did not change at all; "
                f"those of the last moved by {_share(last)}."
            )
        else:
            names = [*(f"in layer {i}" for i, _ in enumerate(below, 1)), "in the last"]
            parts = join(f"{_share(one)} {name}" for one, name in zip(moved, names, strict=True))
            sentences.append(f"With {variant.label} the weights moved by {parts}, as a share of their first norm.")
    return sentences


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"


def _layer_means(
    trainings: Sequence[Training], read: Callable[[Training], Sequence[float | None]]
) -> list[float | None]:
    """Return the mean over trainings of a figure of each layer; None for a layer where one has none."""
    layers = zip(*(read(training) for training in trainings), strict=True)
    return [None if None in values else statistics.fmean(one for one in values if one is not None) for values in layers]


def movement_means(variant: VariantResults) -> list[float | None]:
    """Return the mean relative movement of each layer's weights, first layer to last; none if all seeds diverged."""
    return _layer_means([one for one in variant.trainings if one.diverged is None], lambda training: training.moved)


def gradient_means(variant: VariantResults) -> list[float]:
    """Return the mean norm of each layer's gradient before the first step, first layer to last."""
    means = _layer_means(variant.trainings, lambda training: training.gradient_norms)
    return [one for one in means if one is not None]


def answer_gradients(results: StudyResults) -> list[str]:
    """Say how the first layer's gradient compares with the last layer's, before the first step."""
    parts = []
    for variant in results.variants:
        norms = gradient_means(variant)
        if len(norms) > 1 and norms[-1] > 0:
            parts.append(f"{_as_share(norms[0] / norms[-1])} with {variant.label}")
    if not parts:
        return []
    return [
        f"Before the first step the norm of the first layer's gradient, by that of the last layer's, is {join(parts)}."
    ]


def _as_share(ratio: float) -> str:
    """Return 0.53, or 1/45,000 where a decimal would be hard to read."""
    if ratio == 0 or ratio >= 0.1:
        return f"{ratio:.2g}"
    digits = 1 - math.floor(math.log10(1 / ratio))
    return f"1/{round(1 / ratio, digits):,.0f}"


def answer_settings(results: StudyResults) -> list[str]:
    """Say which value was best, and what went wrong with those below and above it."""
    finished = [one for one in results.variants if one.test is not None and not one.diverged]
    if not finished:
        return []
    soonest = [one for one in finished if one.epochs is not None and one.epochs.n == len(results.seeds)]
    if soonest:
        best = min(soonest, key=lambda one: one.epochs.mean if one.epochs else 0)
        sentences = [f"The level is reached soonest with {best.label}."]
    else:
        sign = 1 if results.is_higher_better else -1
        best = max(finished, key=lambda one: sign * one.test.mean if one.test else 0)
        sentences = [f"No value reaches the level in every seed; {best.label} comes to the best test result."]
    position = results.variants.index(best)
    for where, variants in (("smaller", results.variants[:position]), ("larger", results.variants[position + 1 :])):
        never = [one.label for one in variants if one.epochs is None and one.diverged < len(results.seeds)]
        diverged = [f"{one.label} ({_when(one)})" for one in variants if one.diverged]
        if never:
            verb = "does" if len(never) == 1 else "do"
            sentences.append(f"Of the {where} ones, {join(never)} {verb} not get there in any seed.")
        if diverged:
            sentences.append(f"Training diverges with {join(diverged)}: the loss is no finite number any more.")
    return sentences


def _when(variant: VariantResults) -> str:
    epochs = [len(one.curve) + 1 for one in variant.trainings if one.diverged is not None]
    return f"in {variant.diverged} of {count(len(variant.trainings), 'seed')}, in epoch {_range(epochs)}"


def answer_seconds(results: StudyResults) -> list[str]:
    """Say how long an epoch takes, and how long it takes to the level: fewer steps an epoch are sooner done."""
    times = {one.label: [training.seconds for training in one.trainings if training.seconds] for one in results.learned}
    parts = [
        f"{1000 * statistics.fmean(seconds[-1] / len(seconds) for seconds in by_seed):.3g} ms with {label}"
        for label, by_seed in times.items()
        if by_seed
    ]
    reached = [
        f"{one.seconds.mean:.2f} s with {one.label}{in_some(results, one.seconds)}"
        for one in results.learned
        if one.seconds is not None
    ]
    sentences = [f"On this machine an epoch, with validation, takes {join(parts)}."] if parts else []
    if reached:
        sentences.append(f"By the clock, the level is reached after {join(reached)}.")
    return sentences


def answer_symmetry(results: StudyResults) -> list[str]:
    """Say where units of a hidden layer stayed alike: such a layer has no more to say than one unit."""
    sentences = []
    for variant in results.variants:
        finished = [one for one in variant.trainings if one.diverged is None]
        parts = []
        for layer, units in enumerate(variant.hidden_sizes):
            distinct = {one.distinct_units[layer] for one in finished}
            if distinct and min(distinct) < units:
                kinds = "kind" if max(distinct) == 1 else "kinds"
                parts.append(f"{_range(distinct)} {kinds} among {units} in hidden layer {layer + 1}")
        if parts:
            sentences.append(f"With {variant.label}, units end with the same weights: {join(parts)}.")
    others = "In the other variants" if sentences else "In every variant"
    return [*sentences, f"{others} no two units of a hidden layer end alike."]


def _range(numbers: Collection[int]) -> str:
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def answer_distance(results: StudyResults) -> list[str]:
    """Say how near each came to the least-squares parameters, and what that costs on the test split."""
    parts = []
    for variant in results.learned:
        ends = [one.curve[-1] for one in variant.trainings if one.diverged is None and one.curve]
        if ends:
            parts.append(f"{statistics.fmean(ends):.2g} with {variant.label}")
    if not parts:
        return []
    return [
        "Distance is that of the parameters, ‖θ − θ*‖ / ‖θ*‖, θ* being least squares on the same training examples; "
        f"in the end it is {join(parts)}."
    ]
