"""Sentences and number formats for a study; they are valid for any results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlcli.evaluation.seed_statistics import MeanSd
from dlcli.lecture.studies.results import Comparison, StudyResults, VariantResults
from dlcli.text import join

FEW_SEEDS = 5  # with fewer seeds, the standard deviation itself is very uncertain
_FINEST = 4  # maximum number of decimals of a difference
_UNITS = {"accuracy": "accuracy", "rmse": "RMSE"}


def name_metric(results: StudyResults) -> str:
    """Return the name of the test metric."""
    return _UNITS.get(results.metric, results.metric)


def name_curve(results: StudyResults) -> str:
    """Return the name of the curve."""
    return "distance from least squares" if results.study.curve == "distance" else f"validation {name_metric(results)}"


def name_goal(results: StudyResults) -> str:
    """Return the level that the curve should reach, in words."""
    level = f"{results.level:g}"
    return (
        f"a distance of {level} from least squares"
        if results.study.curve == "distance"
        else f"{name_curve(results)} {level}"
    )


def format_number(value: float, scale: float | None = None) -> str:
    """Return a value with three decimals, or fewer if `scale` (default: the value) is large."""
    size = abs(value if scale is None else scale)
    decimals = 3 if size == 0 or not math.isfinite(size) else min(3, max(0, 3 - math.floor(math.log10(size))))
    return f"{value:.{decimals}f}"


def format_spread(spread: MeanSd | None, scale: float | None = None) -> str:
    """Return `mean ± sd`, or a dash for None."""
    if spread is None:
        return "-"
    scale = spread.mean if scale is None else scale
    deviation = "" if spread.sd is None else f" ± {format_number(spread.sd, scale)}"
    return format_number(spread.mean, scale) + deviation


def format_mean(spread: MeanSd) -> str:
    """Return a mean number of epochs, with one decimal unless it is an integer."""
    return format_epochs(spread.mean)


def format_epochs(epochs: float) -> str:
    """Return a number of epochs, with one decimal unless it is an integer."""
    return f"{epochs:.1f}".removesuffix(".0")


def format_difference(difference: MeanSd, *, sign: bool) -> str:
    """Return a difference as `mean ± sd`, with two digits of the sd; `sign` selects the signed form."""
    mean = difference.mean if sign else abs(difference.mean)
    size = difference.sd or abs(mean)
    decimals = min(_FINEST, max(0, 1 - math.floor(math.log10(size)))) if size else 3
    deviation = "" if difference.sd is None else f" ± {difference.sd:.{decimals}f}"
    text = f"{mean:+.{decimals}f}" if sign else f"{mean:.{decimals}f}"
    return text.replace("-", "−") + deviation


def capitalize(text: str) -> str:
    """Return the text with an upper-case first letter and all others unchanged."""
    return text[:1].upper() + text[1:]


def count(n: int, noun: str) -> str:
    """Return `1 seed`, `5 seeds`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def count_epochs(results: StudyResults) -> str:
    """Return `30 epochs`, or `at most 30 epochs` if early stopping ended a training."""
    return f"{'at most ' if results.stopped_early else ''}{count(results.epochs, 'epoch')}"


def state_speed(results: StudyResults) -> str:
    """Return the number of epochs in which each variant reaches the level, without a final full stop.

    Without a level, return the end of each variant's validation curve.
    """
    if results.level is None:
        return _state_ends(results)
    goal = name_goal(results)
    reached = [(variant, variant.epochs) for variant in results.learned if variant.epochs is not None]
    others = [variant for variant in results.learned if variant.epochs is None]
    diverged = [variant.label for variant in others if variant.diverged == len(results.seeds)]
    never = [f"{variant.label}{_of_some(variant)}" for variant in others if variant.diverged < len(results.seeds)]
    clauses = []
    if reached:
        first, *rest = [
            f"{format_mean(epochs)} with {variant.label}{in_some(results, epochs)}" for variant, epochs in reached
        ]
        word = "epoch" if first.startswith("1 ") else "epochs"
        first = first.replace(" with", f" {word} with", 1)
        clauses.append(f"{goal} is reached after {', '.join([first, *rest])}")
    if never:
        beginning = "not" if reached else f"{goal} is not reached"
        clauses.append(f"{beginning} within {results.epochs} epochs with {join(never, 'or')}")
    if diverged:
        clauses.append(f"training diverges with {join(diverged)}")
    return capitalize("; ".join(clauses) + _disagreement(results))


def _state_ends(results: StudyResults) -> str:
    ended = [
        f"{format_spread(variant.end)} with {variant.label}{_of_some(variant)}"
        for variant in results.variants
        if variant.end
    ]
    diverged = [variant.label for variant in results.variants if not variant.end]
    clauses = [f"after {count_epochs(results)}, the {name_curve(results)} is {join(ended)}"] if ended else []
    if diverged:
        clauses.append(f"training diverges with {join(diverged)}")
    return capitalize("; ".join(clauses))


def in_some(results: StudyResults, epochs: MeanSd) -> str:
    """Return text such as ` (in 3 of 5 seeds)`, or "" if the variant reached the level in every seed."""
    return "" if epochs.n == len(results.seeds) else f" (in {epochs.n} of {count(len(results.seeds), 'seed')})"


def _disagreement(results: StudyResults) -> str:
    """Return a clause if the seeds disagree on which of two variants is faster, or "" if they agree."""
    if len(results.learned) != 2 or all(variant.epochs is None for variant in results.learned):
        return ""
    later, earlier = results.later_in(results.others[0])
    agree = later == earlier == 0 or len(results.seeds) in (later, earlier)
    return "" if agree else "; the seeds disagree on which is faster"


def describe_procedure(results: StudyResults) -> list[str]:
    """Return sentences that describe how the results were obtained."""
    n = len(results.seeds)
    seeds = f"{results.seeds[0]} {'to' if n > 2 else 'and'} {results.seeds[-1]}"
    sentences = [
        f"Each variant was trained for {count_epochs(results)} with each of the {n} seeds {seeds}. The seed "
        "determines the validation split, the order of the examples and, where shapes and initialisation agree, the "
        "initial parameters: all variants of a seed share them."
    ]
    if results.stopped_early:
        trainings = len(results.learned) * n
        sentences.append(f"Early stopping ended {results.stopped_early} of {count(trainings, 'training')}.")
    tuned = [variant for variant in results.learned if variant.tried]
    if tuned:
        lrs = ", ".join(f"{lr:g}" for lr in tuned[0].tried)
        picks = join(f"{variant.lr:g} with {variant.label}" for variant in tuned)
        sentences.append(
            f"The learning rate of each variant was chosen from {lrs}, by the best {name_curve(results)}, averaged "
            f"over the epochs, in a training with seed {results.tuning_seed}, which is not used again. "
            f"The choice is {picks}."
        )
        sentences += _edges(tuned)
    elif len({variant.lr for variant in results.learned}) == 1:
        sentences.append(f"All variants have the learning rate {results.learned[0].lr:g}, which was not tuned.")
    order = "together, so there are no times of single ones" if results.is_together else "one after the other"
    sentences.append(f"The models were trained {order}.")
    if n < FEW_SEEDS:
        sentences.append(f"With only {n} seeds, the standard deviations are rough estimates.")
    return sentences


def _edges(tuned: Sequence[VariantResults]) -> list[str]:
    """Return a sentence about variants that chose an end of the range, as a wider range might be better."""
    at_edge = [
        variant.label
        for variant in tuned
        if len(variant.tried) > 1 and variant.lr in (min(variant.tried), max(variant.tried))
    ]
    if not at_edge:
        return []
    return [f"For {join(at_edge)} this is an end of the range; a rate beyond it might be better."]


def state_result(results: StudyResults) -> str:
    """Return a sentence with the test metric of each variant."""
    unit = f" {results.unit}" if results.unit else ""
    scale = max((abs(variant.test.mean) for variant in results.variants if variant.test), default=0.0)
    parts = [
        f"{format_spread(variant.test, scale)}{unit} with {variant.label}{_of_some(variant)}"
        for variant in results.variants
        if variant.test
    ]
    diverged = [variant.label for variant in results.variants if not variant.test]
    if not parts:
        return "Training diverges with every variant and every seed, so nothing can be compared."
    spread = f"mean ± sd over {count(len(results.seeds), 'seed')}"
    after = "The" if results.level is None else f"After {count_epochs(results)}, the"
    sentence = f"{after} test {name_metric(results)} is {join(parts)} ({spread})"
    return f"{sentence}{f'; training diverges with {join(diverged)}' if diverged else ''}."


def _of_some(variant: VariantResults) -> str:
    return f" ({variant.diverged} of {len(variant.trainings)} diverged)" if variant.diverged else ""


def state_differences(results: StudyResults) -> str:
    """Return a sentence with the paired differences from the reference; "" if no variant can be compared."""
    clauses = [_difference(variant.label, results.compare_test(variant), results.unit) for variant in results.others]
    clauses = [clause for clause in clauses if clause]
    if not clauses:
        return ""
    return f"Compared seed by seed with {results.reference.label}, it is {'; '.join(clauses)}."


def _difference(label: str, comparison: Comparison, unit: str) -> str:
    difference = comparison.difference
    if difference is None:
        return ""
    smallest = 0.5 * 10**-_FINEST
    if abs(difference.mean) < smallest and (difference.sd or 0) < smallest:
        return f"the same to {_FINEST} decimals with {label}"
    size = format_difference(difference, sign=False) + (f" {unit}" if unit else "")
    direction = "lower" if difference.mean < 0 else "higher"
    seeds = f"in {comparison.same_sign} of {count(difference.n, 'seed')}"
    match comparison.verdict:
        case "within":
            return f"the same within one standard deviation with {label} ({direction} by {size}, {seeds})"
        case "clear":
            return f"{direction} by {size} with {label}, {seeds}"
        case _:
            return f"{direction} by {size} with {label}, but only {seeds}"


def write_paragraph(results: StudyResults) -> str:
    """Return the results and conclusions as a paragraph."""
    sentences = [
        f"{state_speed(results)}.",
        state_result(results),
        state_differences(results),
        *results.study.answer(results),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def write_method(results: StudyResults) -> str:
    """Return the procedure as a paragraph."""
    return " ".join(describe_procedure(results))
