"""Main result of a study: the variant that leads on the validation curves, as title, sentence and paragraph."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from dlcli.lecture.studies.answers import answer_divergence
from dlcli.lecture.studies.leaders import (
    CLEAR_SEEDS,
    Failure,
    beats,
    beats_on_test,
    find_failures,
    is_all_at_chance,
    leaders,
)
from dlcli.lecture.studies.results import StudyResults, VariantResults
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

_MOST_NAMED = 4  # maximum number of variants listed in a short paragraph
_FEW = 5  # maximum number of variants of a user's study whose numbers are all in the paragraph


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
    if is_all_at_chance(results):
        return f"Every variant stays at chance: {_lead(results, leading)}"
    if not ties:
        return f"{best.label} is {'best' if results.level is None else 'fastest'}: {_lead(results, (best,))}"
    return f"No clear winner: {_lead(results, leading)} with {_join_labels(results, leading)}"


def _join_labels(results: StudyResults, variants: Sequence[VariantResults]) -> str:
    """Return the labels in the order of the table, with a common beginning only once: `lr 0.1, 0.2 and 0.5`."""
    labels = [variant.label for variant in results.variants if variant in variants]
    start = re.match(r"(?:α=|\S+ (?=\S+$))?", labels[0])
    assert start is not None, "the pattern matches an empty text"
    if start[0] and all(label.startswith(start[0]) for label in labels):
        labels = [labels[0], *(label.removeprefix(start[0]) for label in labels[1:])]
    return join(labels)


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
    """Return the main result in a few clauses: the title, the failures and the test metric of the leading variant."""
    title, leading = write_title(results), leaders(results)
    if len(leading) != 1:  # with a single leader, the title begins with its label
        title = title[0].lower() + title[1:]
    clauses = [title, *_state_failures(results)]
    if leading:
        best = leading[0]
        clauses.append(f"the test {name_metric(results)} of {best.label} is {format_spread(best.test)}")
        sign = 1 if results.is_higher_better else -1
        top = max(results.learned, key=lambda variant: sign * variant.test.mean if variant.test else -math.inf)
        if len(results.seeds) >= CLEAR_SEEDS and beats_on_test(results, top, best):
            clauses.append(f"{top.label} ends better, with {format_spread(top.test)}")
    return f"In short: {'; '.join(clauses)}."


def _state_failures(results: StudyResults) -> list[str]:
    """Return clauses about the variants that are far worse in some seeds; variants that fail alike share a clause."""
    groups: dict[tuple[bool, int], list[Failure]] = {}
    for failure in find_failures(results):
        groups.setdefault((failure.is_chance, len(failure.ends)), []).append(failure)
    clauses = []
    for (is_chance, n), failures in groups.items():
        named = [failure.variant for failure in failures]
        labels = _join_labels(results, named) if len(named) <= _MOST_NAMED else f"{len(named)} variants"
        singular, plural = ("stays at chance", "stay at chance") if is_chance else ("is far worse", "are far worse")
        what = f"{singular if len(failures) == 1 else plural} in {n} of {count(len(results.seeds), 'seed')}"
        ends = [end for failure in failures for end in failure.ends]
        clauses.append(f"{labels} {what} ({name_curve(results)} {_range(ends, format_number)})")
    return clauses


def write_conclusions(results: StudyResults) -> str:
    """Return a paragraph on the results of all variants or, in a user's study with many, of the leader only."""
    if results.study.lecture or len(results.variants) <= _FEW or not (leading := leaders(results)):
        return write_paragraph(results)
    best = leading[0]
    others = [variant for variant in results.learned if variant is not best and not variant.diverged]
    beaten = [variant for variant in others if beats(results, best, variant)]
    ties = [variant for variant in others if variant not in beaten]
    sentences = [
        f"After {count_epochs(results)} with each of {count(len(results.seeds), 'seed')}, {best.label} has "
        f"{name_curve(results)} {format_spread(best.end)} and test {name_metric(results)} {format_spread(best.test)} "
        "(mean ± sd)."
    ]
    better, not_better = "is better in both seeds than", "does not beat"
    if len(results.seeds) >= CLEAR_SEEDS:
        better, not_better = "is clearly better than", "does not clearly beat"
    clauses = [f"{better} {_list_or_count(beaten)}"] if beaten else []
    clauses += [f"{not_better} {_list_or_count(ties)}"] if ties else []
    if clauses:
        sentences.append(f"Compared seed by seed, it {' and '.join(clauses)}.")
    return " ".join([*sentences, *answer_divergence(results), "The table lists all variants."])


def _list_or_count(variants: Sequence[VariantResults]) -> str:
    few = len(variants) <= _MOST_NAMED
    return join(variant.label for variant in variants) if few else f"{len(variants)} other variants"
