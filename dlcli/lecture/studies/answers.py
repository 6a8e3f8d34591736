"""Sentences that answer a study's question; they are valid for any results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Sequence

from dlcli.lecture.studies.results import StudyResults, Training, VariantResults
from dlcli.lecture.studies.sentences import capitalize, count, in_some, name_curve
from dlcli.text import join


def answer_pair(results: StudyResults) -> list[str]:
    """Return sentences on which of two variants is faster and by which factor the other one needs more epochs."""
    reference, (variant,) = results.reference, results.others
    later, earlier = results.later_in(variant)
    n = len(results.seeds)
    if later == earlier == 0:
        return []
    if later + earlier and later == earlier:
        return [
            f"In {earlier} of {count(n, 'seed')}, {variant.label} is faster than {reference.label}; in {later}, slower."
        ]
    slow, fast, seeds = (variant, reference, later) if later > earlier else (reference, variant, earlier)
    sentences = [f"In {seeds} of {count(n, 'seed')}, {slow.label} reaches the level later than {fast.label}."]
    pairs = zip(fast.reached, slow.reached, strict=True)
    ratios = [after / before for before, after in pairs if before is not None and after is not None]
    if ratios and seeds == n:
        subset = "" if len(ratios) == n else f" (over {count(len(ratios), 'seed')} in which both reach the level)"
        times = f"{statistics.fmean(ratios):.1f} times as many epochs"
        sentences.append(f"It needs {times} on average{subset}.")
    return sentences


def answer_movement(results: StudyResults) -> list[str]:
    """Return sentences about how far the weights of each layer moved."""
    sentences = []
    for variant in results.variants:
        moved = movement_means(variant)
        if not moved:
            continue
        below, last = moved[:-1], moved[-1]
        if below and all(change == 0 for change in below):
            which = "the layer" if len(below) == 1 else f"the {len(below)} layers"
            sentences.append(
                f"With {variant.label}, the weights of {which} below the last did not change at all; "
                f"those of the last layer moved by {_percent(last)} of their initial norm."
            )
        else:
            names = [*(f"in layer {i}" for i, _ in enumerate(below, 1)), "in the last layer"]
            parts = join(f"{_percent(change)} {name}" for change, name in zip(moved, names, strict=True))
            sentences.append(f"With {variant.label}, the weights moved by {parts}, relative to their initial norm.")
    return sentences


def _percent(value: float | None) -> str:
    return (
        "an undefined fraction" if value is None else f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.0f} %"
    )


def _layer_means(
    trainings: Sequence[Training], read: Callable[[Training], Sequence[float | None]]
) -> list[float | None]:
    """Return the mean of each layer's value over the trainings; None for a layer with a None in any training."""
    layers = zip(*(read(training) for training in trainings), strict=True)
    return [
        None if None in values else statistics.fmean(value for value in values if value is not None)
        for values in layers
    ]


def movement_means(variant: VariantResults) -> list[float | None]:
    """Return the mean relative movement of each layer's weights, first layer to last; empty if all seeds diverged."""
    return _layer_means([run for run in variant.trainings if run.diverged is None], lambda training: training.moved)


def gradient_means(variant: VariantResults) -> list[float]:
    """Return the mean norm of each layer's gradient before the first step, first layer to last."""
    means = _layer_means(variant.trainings, lambda training: training.gradient_norms)
    return [mean for mean in means if mean is not None]


def answer_gradients(results: StudyResults) -> list[str]:
    """Return a sentence on the ratio of the first layer's gradient norm to the last layer's, before the first step."""
    parts = []
    for variant in results.variants:
        norms = gradient_means(variant)
        if len(norms) > 1 and norms[-1] > 0:
            parts.append(f"{_format_ratio(norms[0] / norms[-1])} with {variant.label}")
    if not parts:
        return []
    return [
        f"Before the first step, the gradient norm of the first layer divided by that of the last is {join(parts)}."
    ]


def _format_ratio(ratio: float) -> str:
    """Return `0.53`, or `1/45,000` if a decimal number would be hard to read."""
    if ratio == 0 or ratio >= 0.1:
        return f"{ratio:.2g}"
    digits = 1 - math.floor(math.log10(1 / ratio))
    return f"1/{round(1 / ratio, digits):,.0f}"


def answer_settings(results: StudyResults) -> list[str]:
    """Return sentences about the best value and about the smaller and larger values that failed."""
    finished = [variant for variant in results.variants if variant.test is not None and not variant.diverged]
    if not finished:
        return []
    reaching = [
        variant for variant in finished if variant.epochs is not None and variant.epochs.n == len(results.seeds)
    ]
    if reaching:
        best = min(reaching, key=lambda variant: variant.epochs.mean if variant.epochs else 0)
        sentences = [f"The level is reached in the fewest epochs with {best.label}."]
    else:
        sign = 1 if results.is_curve_rising else -1
        best = max(finished, key=lambda variant: sign * variant.end.mean if variant.end else 0)
        why = "" if results.level is None else "No value reaches the level in every seed; "
        sentences = [capitalize(f"{why}the last {name_curve(results)} is best with {best.label}.")]
    position = results.variants.index(best)
    for side, variants in (("smaller", results.variants[:position]), ("larger", results.variants[position + 1 :])):
        never = [
            variant.label for variant in variants if variant.epochs is None and variant.diverged < len(results.seeds)
        ]
        diverged = [f"{variant.label} ({_when(variant)})" for variant in variants if variant.diverged]
        if never and results.level is not None:
            verb = "does" if len(never) == 1 else "do"
            sentences.append(f"Of the {side} values, {join(never)} {verb} not reach the level in any seed.")
        if diverged:
            sentences.append(f"Training diverges with {join(diverged)}: the loss becomes infinite or NaN.")
    return sentences


def _when(variant: VariantResults) -> str:
    epochs = [len(training.curve) + 1 for training in variant.trainings if training.diverged is not None]
    return f"in {variant.diverged} of {count(len(variant.trainings), 'seed')}, in epoch {_range(epochs)}"


def answer_seconds(results: StudyResults) -> list[str]:
    """Return sentences about the measured time per epoch, which fewer steps shorten, and the time to the level."""
    times = {
        variant.label: [training.seconds for training in variant.trainings if training.seconds]
        for variant in results.learned
    }
    parts = [
        f"{1000 * statistics.fmean(seconds[-1] / len(seconds) for seconds in by_seed):.3g} ms with {label}"
        for label, by_seed in times.items()
        if by_seed
    ]
    reached = [
        f"{variant.seconds.mean:.2f} s with {variant.label}{in_some(results, variant.seconds)}"
        for variant in results.learned
        if variant.seconds is not None
    ]
    sentences = [f"On this machine, an epoch including validation takes {join(parts)}."] if parts else []
    if reached:
        sentences.append(f"The level is reached after {join(reached)}.")
    return sentences


def answer_ends(results: StudyResults) -> list[str]:
    """Return sentences about the seeds that diverged and, if measured, the time per epoch of each variant."""
    return [*answer_divergence(results), *answer_seconds(results)]


def answer_divergence(results: StudyResults) -> list[str]:
    """Return a sentence about the variants that diverge, with their epochs of divergence."""
    diverged = [f"{variant.label} ({_when(variant)})" for variant in results.variants if variant.diverged]
    return [f"Training diverges with {join(diverged)}: the loss becomes infinite or NaN."] if diverged else []


def answer_symmetry(results: StudyResults) -> list[str]:
    """Return sentences about hidden layers with identical final units, which compute no more than one unit."""
    sentences = []
    for variant in results.variants:
        finished = [training for training in variant.trainings if training.diverged is None]
        parts = []
        for layer, units in enumerate(variant.hidden_sizes):
            distinct = {training.distinct_units[layer] for training in finished}
            if distinct and min(distinct) < units:
                noun = "distinct unit" if max(distinct) == 1 else "distinct units"
                parts.append(f"{_range(distinct)} {noun} among {units} in hidden layer {layer + 1}")
        if parts:
            sentences.append(f"With {variant.label}, several units end with the same weights: {join(parts)}.")
    others = "In the other variants" if sentences else "In every variant"
    return [*sentences, f"{others}, all units of a hidden layer end with different weights."]


def _range(numbers: Collection[int]) -> str:
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def answer_distance(results: StudyResults) -> list[str]:
    """Return sentences with the final distance of each variant from the least-squares parameters."""
    parts = []
    for variant in results.learned:
        ends = [training.curve[-1] for training in variant.trainings if training.diverged is None and training.curve]
        if ends:
            parts.append(f"{statistics.fmean(ends):.2g} with {variant.label}")
    if not parts:
        return []
    return [
        "The distance of the parameters is ‖θ − θ*‖ / ‖θ*‖, where θ* is the least-squares solution on the same "
        f"training examples. After the last epoch it is {join(parts)}."
    ]
