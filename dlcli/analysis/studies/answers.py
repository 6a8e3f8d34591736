"""What each study's numbers say about its own question, in sentences that are true whatever the numbers are."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from dlcli.analysis.studies.results import StudyResults, Training, VariantResults
from dlcli.analysis.studies.wording import count, format_number, format_power, join


def answer_pair(results: StudyResults) -> list[str]:
    """Say how many times as many epochs the other variant needs, where both reach the level."""
    reference, (other,) = results.reference, results.others
    pairs = zip(reference.reached, other.reached, strict=True)
    ratios = [after / before for before, after in pairs if before is not None and after is not None]
    if not ratios:
        return []
    comparison = results.compare_epochs(other)
    if comparison.verdict in ("same", "within"):
        return [f"In epochs to that level, {other.label} and {reference.label} cannot be told apart."]
    times = f"{statistics.fmean(ratios):.1f} times the epochs that {reference.label} needs"
    seeds = "" if len(ratios) == len(results.seeds) else f", in the {count(len(ratios), 'seed')} where both get there"
    return [f"To that level {other.label} takes on average {times}{seeds}."]


def answer_movement(results: StudyResults) -> list[str]:
    """Say how far the weights of each layer moved."""
    sentences = []
    for variant in results.variants:
        moved = movement_means(variant)
        if not moved:
            continue
        below, last = moved[:-1], moved[-1]
        if below and all(one == 0 for one in below):
            which = "the layer below did" if len(below) == 1 else f"the {len(below)} layers below did"
            sentences.append(
                f"With {variant.label} {which} not change by a bit; the last layer moved by {_share(last)}."
            )
        else:
            parts = join(f"{_share(one)} (layer {i})" for i, one in enumerate(moved, 1))
            sentences.append(f"With {variant.label} the weights moved by {parts} of their first size.")
    return sentences


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.0%}" if value >= 0.005 else format_power(value)


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
            parts.append(f"{format_power(norms[0] / norms[-1])} times the last layer's with {variant.label}")
    if not parts:
        return []
    return [f"Before the first step, the gradient of the first layer's weights has {join(parts)}, by its norm."]


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
        too_far = [one.label for one in variants if one.epochs is None and not one.diverged]
        diverged = [f"{one.label} ({_when(one)})" for one in variants if one.diverged]
        if too_far:
            verb = "does" if len(too_far) == 1 else "do"
            sentences.append(f"Of the {where} ones, {join(too_far)} {verb} not get there in time.")
        if diverged:
            verb = "diverges" if len(diverged) == 1 else "diverge"
            sentences.append(f"Of the {where} ones, {join(diverged)} {verb}: the loss is no finite number any more.")
    return sentences


def _when(variant: VariantResults) -> str:
    epochs = [len(one.curve) + 1 for one in variant.trainings if one.diverged is not None]
    first = f"epoch {min(epochs)}" if min(epochs) == max(epochs) else f"epochs {min(epochs)} to {max(epochs)}"
    return f"in {variant.diverged} of {count(len(variant.trainings), 'seed')}, in {first}"


def answer_seconds(results: StudyResults) -> list[str]:
    """Say how long an epoch takes, and how long it takes to the level: fewer steps an epoch are sooner done."""
    times = {one.label: [training.seconds for training in one.trainings if training.seconds] for one in results.learned}
    parts = [
        f"{1000 * statistics.fmean(seconds[-1] / len(seconds) for seconds in by_seed):.3g} ms with {label}"
        for label, by_seed in times.items()
        if by_seed
    ]
    reached = [f"{one.seconds.mean:.2f} s with {one.label}" for one in results.learned if one.seconds is not None]
    sentences = [f"On this machine an epoch, with validation, takes {join(parts)}."] if parts else []
    if reached:
        sentences.append(f"By the clock, the level is reached after {join(reached)}.")
    return sentences


def answer_symmetry(results: StudyResults) -> list[str]:
    """Say where units of a hidden layer stayed alike: such a layer has no more to say than one unit."""
    sentences = []
    for variant in results.variants:
        finished = [one for one in variant.trainings if one.diverged is None]
        for layer, units in enumerate(variant.hidden_sizes):
            distinct = [one.distinct_units[layer] for one in finished]
            if distinct and max(distinct) < units:
                several = f"{min(distinct)} to {max(distinct)}" if min(distinct) < max(distinct) else f"{max(distinct)}"
                sentences.append(
                    f"With {variant.label}, the {units} units of hidden layer {layer + 1} "
                    f"end with {several} different set{'' if max(distinct) == 1 else 's'} of weights."
                )
    others = "In the other variants" if sentences else "In every variant"
    return [*sentences, f"{others} no two units of a hidden layer end alike."]


def answer_distance(results: StudyResults) -> list[str]:
    """Say how near each came to the least-squares parameters, and what that costs on the test split."""
    parts = []
    for variant in results.learned:
        ends = [one.curve[-1] for one in variant.trainings if one.diverged is None and one.curve]
        if ends:
            parts.append(f"{format_number(statistics.fmean(ends))} with {variant.label}")
    if not parts:
        return []
    return [
        "Distance is that of the parameters, ‖θ − θ*‖ / ‖θ*‖, θ* being least squares on the same training examples; "
        f"in the end it is {join(parts)}."
    ]
