"""Sentences that follow from a study's numbers, whatever these are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dlcli.lecture.studies.results import Comparison, Spread, StudyResults, VariantResults

FEW_SEEDS = 5  # with fewer, a standard deviation is hardly known itself
_FINEST = 4  # decimals of a difference
_UNITS = {"accuracy": "accuracy", "rmse": "RMSE"}


def name_metric(results: StudyResults) -> str:
    """Return what the test metric is called."""
    return _UNITS.get(results.metric, results.metric)


def name_curve(results: StudyResults) -> str:
    """Return what the curve is called."""
    return "distance from least squares" if results.study.curve == "distance" else f"validation {name_metric(results)}"


def name_goal(results: StudyResults) -> str:
    """Return what the curve is to reach."""
    level = f"{results.level:g}"
    return (
        f"a distance of {level} from least squares"
        if results.study.curve == "distance"
        else f"{name_curve(results)} {level}"
    )


def format_number(value: float, scale: float | None = None) -> str:
    """Return a measured value with three decimals, or fewer where `scale`, or itself, is large."""
    size = abs(value if scale is None else scale)
    decimals = 3 if size == 0 or not math.isfinite(size) else min(3, max(0, 3 - math.floor(math.log10(size))))
    return f"{value:.{decimals}f}"


def format_spread(spread: Spread | None, scale: float | None = None) -> str:
    """Return `mean ± sd`, or a dash if there is none."""
    if spread is None:
        return "-"
    scale = spread.mean if scale is None else scale
    deviation = "" if spread.sd is None else f" ± {format_number(spread.sd, scale)}"
    return format_number(spread.mean, scale) + deviation


def format_mean(spread: Spread) -> str:
    """Return a mean number of epochs, with a decimal where it is no whole number."""
    return f"{spread.mean:.1f}".removesuffix(".0")


def format_difference(difference: Spread, *, sign: bool) -> str:
    """Return a difference as `mean ± sd`, with two digits of the deviation, with its sign or without."""
    mean = difference.mean if sign else abs(difference.mean)
    size = difference.sd or abs(mean)
    decimals = min(_FINEST, max(0, 1 - math.floor(math.log10(size)))) if size else 3
    deviation = "" if difference.sd is None else f" ± {difference.sd:.{decimals}f}"
    text = f"{mean:+.{decimals}f}" if sign else f"{mean:.{decimals}f}"
    return text.replace("-", "−") + deviation


def join(parts: Iterable[str], word: str = "and") -> str:
    """Return `a, b and c`."""
    listed = list(parts)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {word} {listed[-1]}"


def capitalize(text: str) -> str:
    """Return the text with its first letter large, and all others as they are."""
    return text[:1].upper() + text[1:]


def count(n: int, what: str) -> str:
    """Return `1 seed`, `5 seeds`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def state_speed(results: StudyResults) -> str:
    """Return in how many epochs each variant reaches the level, without a stop: what a figure's title says."""
    goal = name_goal(results)
    reached = [(one, one.epochs) for one in results.learned if one.epochs is not None]
    others = [one for one in results.learned if one.epochs is None]
    diverged = [one.label for one in others if one.diverged == len(results.seeds)]
    never = [f"{one.label}{_of_some(one)}" for one in others if one.diverged < len(results.seeds)]
    clauses = []
    if reached:
        first, *rest = [f"{format_mean(epochs)} with {one.label}{in_some(results, epochs)}" for one, epochs in reached]
        word = "epoch" if first.startswith("1 ") else "epochs"
        first = first.replace(" with", f" {word} with", 1)
        clauses.append(f"{goal} is reached after {', '.join([first, *rest])}")
    if never:
        beginning = "not" if reached else f"{goal} is not reached"
        clauses.append(f"{beginning} within {results.epochs} with {join(never, 'or')}")
    if diverged:
        clauses.append(f"training diverges with {join(diverged)}")
    return capitalize("; ".join(clauses) + _closeness(results))


def in_some(results: StudyResults, epochs: Spread) -> str:
    """Return in how many seeds a variant reached the level, where not in all."""
    return "" if epochs.n == len(results.seeds) else f" (in {epochs.n} of {count(len(results.seeds), 'seed')})"


def _closeness(results: StudyResults) -> str:
    """Return that two variants are about equally soon, where there are two and the seeds do not agree."""
    if len(results.learned) != 2 or all(one.epochs is None for one in results.learned):
        return ""
    later, earlier = results.later_in(results.others[0])
    agree = later == earlier == 0 or len(results.seeds) in (later, earlier)
    return "" if agree else "; the seeds do not agree which is sooner"


def describe_procedure(results: StudyResults) -> list[str]:
    """Return how the numbers came about, in sentences."""
    n = len(results.seeds)
    seeds = f"{results.seeds[0]} {'to' if n > 2 else 'and'} {results.seeds[-1]}"
    sentences = [
        f"Each variant was trained for {count(results.epochs, 'epoch')} with each of the {n} seeds {seeds}. A seed "
        "decides the validation split, the order of the examples and, where shapes agree, the first parameters: "
        "within a seed, all variants have the same."
    ]
    tuned = [one for one in results.learned if one.tried]
    if tuned:
        lrs = ", ".join(f"{lr:g}" for lr in tuned[0].tried)
        picks = join(f"{one.lr:g} with {one.label}" for one in tuned)
        sentences.append(
            f"Each has the learning rate that suits it: of {lrs} the one with the best {name_curve(results)}, as a "
            f"mean over the epochs, in a training with seed {results.tuning_seed}, which is not used again. "
            f"That is {picks}."
        )
        sentences += _edges(tuned)
    elif len({one.lr for one in results.learned}) == 1:
        sentences.append(f"All have the learning rate {results.learned[0].lr:g}, whether it suits them or not.")
    if n < FEW_SEEDS:
        sentences.append(f"{n} seeds are few: the standard deviations are rough.")
    return sentences


def _edges(tuned: Sequence[VariantResults]) -> list[str]:
    """Return whose learning rate is the least or the largest tried, so that a wider choice might serve it better."""
    at_edge = [one.label for one in tuned if len(one.tried) > 1 and one.lr in (min(one.tried), max(one.tried))]
    if not at_edge:
        return []
    return [f"For {join(at_edge)} that is an end of the range: a rate beyond it might be better still."]


def state_result(results: StudyResults) -> str:
    """Return what each variant comes to on the test split, in a sentence."""
    unit = f" {results.unit}" if results.unit else ""
    scale = max((abs(one.test.mean) for one in results.variants if one.test), default=0.0)
    parts = [
        f"{format_spread(one.test, scale)}{unit} with {one.label}{_of_some(one)}"
        for one in results.variants
        if one.test
    ]
    diverged = [one.label for one in results.variants if not one.test]
    if not parts:
        return "Training diverges with every variant and every seed: there is nothing to compare."
    spread = f"mean ± standard deviation over {count(len(results.seeds), 'seed')}"
    sentence = f"After {count(results.epochs, 'epoch')} the test {name_metric(results)} is {join(parts)} ({spread})"
    return f"{sentence}{f'; with {join(diverged)} training diverges' if diverged else ''}."


def _of_some(variant: VariantResults) -> str:
    return f" ({variant.diverged} of {len(variant.trainings)} diverged)" if variant.diverged else ""


def state_differences(results: StudyResults) -> str:
    """Return how the variants differ from the reference seed by seed, in a sentence; "" if none can be compared."""
    clauses = [_difference(one.label, results.compare_test(one), results.unit) for one in results.others]
    clauses = [one for one in clauses if one]
    if not clauses:
        return ""
    return f"Seed by seed, against {results.reference.label}: {'; '.join(clauses)}."


def _difference(label: str, comparison: Comparison, unit: str) -> str:
    difference = comparison.difference
    if difference is None:
        return ""
    least = 0.5 * 10**-_FINEST
    if abs(difference.mean) < least and (difference.sd or 0) < least:
        return f"with {label} it is the same, to {_FINEST} decimals"
    size = format_difference(difference, sign=False) + (f" {unit}" if unit else "")
    direction = "lower" if difference.mean < 0 else "higher"
    seeds = f"in {comparison.same_sign} of {count(difference.n, 'seed')}"
    match comparison.verdict:
        case "within":
            return f"with {label} the difference, {size}, is within its spread ({direction} {seeds})"
        case "clear":
            return f"with {label} it is {direction} by {size}, {seeds}"
        case _:
            return f"with {label} it is {direction} by {size}, but only {seeds}"


def write_title(results: StudyResults) -> str:
    """Return the finding in a line."""
    return state_speed(results)


def write_paragraph(results: StudyResults) -> str:
    """Return what was found, and what follows."""
    sentences = [
        f"{state_speed(results)}.",
        state_result(results),
        state_differences(results),
        *results.study.answer(results),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def write_method(results: StudyResults) -> str:
    """Return how it was found."""
    return " ".join(describe_procedure(results))
