"""Main result of a study: the variant that leads on the validation curves, as title, sentence and paragraph."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from dlcli.lecture.studies.answers import answer_divergence
from dlcli.lecture.studies.results import Spread, StudyResults, VariantResults, compare
from dlcli.lecture.studies.sentences import (
    count,
    count_epochs,
    format_epochs,
    format_number,
    format_spread,
    name_curve,
    name_goal,
    name_metric,
    write_paragraph,
)
from dlcli.text import join

# 95 % quantiles of Student's t with 1, 2, ... degrees of freedom; the last is used for more.
_T = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)
_MOST_NAMED = 4  # variants in a list of a short paragraph
_FEW = 5  # variants of a user's study up to which the paragraph states the numbers of each
_TITLE = 84  # characters of a title that fit on one line of the figure


def leaders(results: StudyResults) -> tuple[VariantResults, ...]:
    """Return the best variant on the validation curves, followed by those that it does not clearly beat.

    The best needs the fewest epochs to the level on average, or without a level ends best. It clearly beats a variant
    if the paired differences are significant, which they seldom are with two seeds. A variant can only lead if it
    reaches the level, or ends, in every seed. Empty if no variant does.
    """
    costs = {variant.label: _costs(results, variant) for variant in results.learned}
    able = [variant for variant in results.learned if math.inf not in costs[variant.label]]
    if not able:
        return ()
    best = min(able, key=lambda variant: statistics.fmean(costs[variant.label]))
    ties = [
        variant
        for variant in able
        if variant is not best and not _is_clear(compare(costs[best.label], costs[variant.label]).difference)
    ]
    return (best, *ties)


def _is_clear(difference: Spread | None) -> bool:
    """Return whether a mean of paired differences is significantly above 0 (one-sided t-test, 95 %)."""
    if difference is None or difference.sd is None or difference.mean <= 0:
        return False
    quantile = _T[min(difference.n, len(_T) + 1) - 2]
    return difference.mean > quantile * difference.sd / math.sqrt(difference.n)


def _costs(results: StudyResults, variant: VariantResults) -> list[float]:
    """Return each seed's epochs to the level, or without a level the end of its curve; lower is better."""
    if results.level is not None:
        return [math.inf if epoch is None else epoch for epoch in variant.reached]
    sign = -1 if results.is_curve_rising else 1
    return [sign * run.curve[-1] if run.diverged is None else math.inf for run in variant.trainings]


def write_title(results: StudyResults) -> str:
    """Return the main result in one line: which variant leads on the validation curves."""
    leading = leaders(results)
    if not leading:
        if all(variant.test is None for variant in results.variants):
            return "Training diverges with every variant"
        if results.level is None:
            return "With every variant, training diverges for at least one seed"
        return f"No variant reaches {name_goal(results)} within {count(results.epochs, 'epoch')} in every seed"
    best, *ties = leading
    if not ties:
        return f"{best.label} is {'best' if results.level is None else 'fastest'}: {_lead(results, (best,))}"
    start = f"No clear winner: {_lead(results, leading)} with "
    title = start + join(variant.label for variant in leading)
    return title if len(title) <= _TITLE else f"{start}{len(leading)} variants"


def _lead(results: StudyResults, variants: Sequence[VariantResults]) -> str:
    """Return the epochs to the level, or the ends of the curves, of the variants that lead."""
    if results.level is None:
        ends = [variant.end.mean for variant in variants if variant.end]
        return f"{name_curve(results)} {_range(ends, format_number)}"
    epochs = [variant.epochs.mean for variant in variants if variant.epochs]
    noun = "epoch" if max(epochs) == 1 else "epochs"
    return f"{name_goal(results)} after {_range(epochs, format_epochs)} {noun}"


def _range(values: Sequence[float], form: Callable[[float], str]) -> str:
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def write_short(results: StudyResults) -> str:
    """Return the main result in one sentence: the title, and the test metric of the best variant beside the others'."""
    title, leading = write_title(results), leaders(results)
    if len(leading) != 1:  # otherwise the title begins with a label
        title = title[0].lower() + title[1:]
    if not leading:
        return f"In short: {title}."
    best = leading[0]
    sign = 1 if results.is_higher_better else -1
    top = max(
        (variant for variant in results.learned if variant.test),
        key=lambda variant: sign * variant.test.mean if variant.test else 0,
    )
    clause = f"the test {name_metric(results)} of {best.label} is {format_spread(best.test)}"
    lead = compare(*([sign * (training.test or 0.0) for training in variant.trainings] for variant in (best, top)))
    if top is not best and not top.diverged and _is_clear(lead.difference):
        clause += f"; {top.label} ends better, with {format_spread(top.test)}"
    return f"In short: {title}; {clause}."


def write_conclusions(results: StudyResults) -> str:
    """Return the results as a paragraph: of all variants, or of a user's study with many, only the leader's."""
    if results.study.lecture or len(results.variants) <= _FEW or not (leading := leaders(results)):
        return write_paragraph(results)
    best, *ties = leading
    beaten = [variant for variant in results.learned if variant not in leading and not variant.diverged]
    sentences = [
        f"After {count_epochs(results)} with each of {count(len(results.seeds), 'seed')}, {best.label} leads: "
        f"{name_curve(results)} {format_spread(best.end)}, test {name_metric(results)} {format_spread(best.test)} "
        "(mean ± sd)."
    ]
    clauses = [f"is clearly better than {_list_or_count(beaten)}"] if beaten else []
    clauses += [f"does not clearly beat {_list_or_count(ties)}"] if ties else []
    if clauses:
        sentences.append(f"Compared seed by seed, it {' and '.join(clauses)}.")
    return " ".join([*sentences, *answer_divergence(results), "The table lists all variants."])


def _list_or_count(variants: Sequence[VariantResults]) -> str:
    few = len(variants) <= _MOST_NAMED
    return join(variant.label for variant in variants) if few else f"{len(variants)} other variants"
