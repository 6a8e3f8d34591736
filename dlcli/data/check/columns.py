"""Rules about single columns: constants, identifiers, numbers written as text, sentinels, outliers, spelling."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from dlcli.data.check.finding import Case, DataFinding, listed
from dlcli.data.tables.numbers import NUMBER
from dlcli.data.tables.options import name_setting
from dlcli.data.usefulness import is_whole, why_identifier

_AMOUNT = re.compile(
    r"([$\u20ac\u00a3\u00a5~<>≤≥]?)\s*"  # dollar, euro, pound, yen
    r"[+-]?(?:\d{1,3}(?:[.,'\s]\d{3})+|\d+)(?:[.,]\d+)?\s*([^\d\s.,'][^\d]{0,7})?",
    re.ASCII,
)
_AMOUNTS = 0.9  # least fraction of distinct texts that are amounts
_PER_UNIT = 3  # least average number of distinct texts per unit; `1. Yes` and `2. No` are names, not amounts
_MIXED = 0.5  # least fraction of numbers in a column of numbers and words
_OTHER_MARK = re.compile(r"\s*[+-]?\d*,\d+\s*", re.ASCII)  # a number with another decimal mark than the file
_SENTINELS = (-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, 999999)
_SIGMAS = 10.0
_EXTREMES = 0.005  # largest fraction of extreme values; more are the tail of the distribution
_FEW = 10  # most distinct whole numbers that may be codes of categories
_MOSTLY = 0.5  # fraction of missing values from which a column is mostly missing


def constant(case: Case) -> DataFinding | None:
    """Report a column with a single value."""
    if len(case.distinct) > 1 or case.is_target:
        return None
    missing = int(case.seen.missing.sum())
    value = "it has no values" if not len(case.known) else f"all {len(case.known):,} values are {_first(case)}"
    gaps = f", {missing:,} are missing" if missing and len(case.known) else ""
    return case.report(
        "constant", "The column is constant, so that nothing can be learned from it.", value + gaps, case.ignoring
    )


def _first(case: Case) -> str:
    value = case.known[0]
    return f"{value:g}" if case.column.is_numeric else repr(case.column.categories[value])


def identifier(case: Case) -> DataFinding | None:
    """Report a column that numbers or names the rows."""
    if case.is_target or not (reason := why_identifier(case.seen, case.distinct)):
        return None
    examples = [f"{value:.0f}" for value in case.known[:3]] if case.column.is_numeric else list(case.counts)[:3]
    evidence = f"{reason}, such as {', '.join(examples)}; {len(case.known):,} values"
    return case.report(
        "identifier", "The column identifies the examples and does not describe them.", evidence, case.ignoring
    )


def numbers_as_text(case: Case) -> DataFinding | None:
    """Report texts that are numbers with units, percent signs, currencies or another decimal mark."""
    texts = [text.strip() for text in case.counts]
    if case.column.kind not in ("category", "text") or case.column.name in case.data.types:
        return None
    amounts = [match for text in texts if (match := _AMOUNT.fullmatch(text))]
    plain = sum(NUMBER.fullmatch(text) is not None for text in texts)
    if len(amounts) < _AMOUNTS * len(texts) or 2 * plain > len(texts):
        return None
    units = Counter((match[1], (match[2] or "").strip().lower()) for match in amounts)
    if len(texts) < _PER_UNIT * len(units):
        return None
    evidence = f"{listed(list(case.counts))}, of {len(texts):,} different texts"
    has_commas = any("," in text for text in texts) and set(units) == {("", "")}
    fix = (
        "write them with decimal points" if has_commas else "write the numbers alone, and the unit into the column name"
    )
    advice = f'{fix}; if all numbers of the file have decimal commas: data.decimal=","' if has_commas else fix
    return case.report(
        "numbers-as-text", "The column contains numbers written as text, which become categories.", evidence, advice
    )


def mixed(case: Case) -> DataFinding | None:
    """Report a column of texts and numbers, in which some texts may stand for missing values."""
    if case.column.kind not in ("category", "text") or case.is_target or case.column.name in case.data.types:
        return None
    words = [text for text in case.counts if not NUMBER.fullmatch(text.strip())]
    numbers = len(case.known) - sum(case.counts[text] for text in words)
    if not words or numbers < _MIXED * len(case.known):
        return None
    statement = "The column contains numbers and words, so that its numbers become categories."
    evidence = f"{numbers:,} of {len(case.known):,} values are numbers, the others are {listed(words)}"
    if any(_OTHER_MARK.fullmatch(word) for word in words):
        return case.report("mixed", statement, evidence, "write all numbers with the same decimal mark")
    advice = f"if the words mean a missing value: {case.emptying(words[:5])}"
    return case.report("mixed", statement, evidence, f"{advice}; if not: {case.typing('category')}")


def sentinels(case: Case) -> DataFinding | None:
    """Report numbers such as −999 far from all others, which may stand for missing values."""
    if case.column.kind != "number":
        return None
    candidates = np.isin(case.distinct, _SENTINELS)
    others = case.distinct[~candidates]
    if len(others) < 3:
        return None
    low, high = others[0], others[-1]
    values = [value for value in case.distinct[candidates] if _is_far(value, low, high)]
    if not values:
        return None
    counted = ", ".join(f"{value:g} ({int((case.known == value).sum()):,} times)" for value in values)
    statement = "The column contains numbers that may stand for missing values."
    advice = f"{case.emptying([f'{value:g}' for value in values])} data.missing=mean"
    return case.report("sentinel", statement, f"{counted}; all others are {low:g} to {high:g}", advice)


def unclear_points(case: Case) -> DataFinding | None:
    """Report numbers whose points may be decimal marks or separate thousands."""
    if not (text := case.column.unclear):
        return None
    statement = "The points of the column may separate thousands; they are read as decimal points."
    evidence = f"all values have three digits behind each point, such as {text}, and no value has a comma"
    advice = f'if {text} is {text.replace(".", "")}: data.decimal=","; if not: data.decimal="."'
    return case.report("unclear-decimal", statement, evidence, advice)


def _is_far(value: float, low: float, high: float) -> bool:
    """Return whether a value is negative and the others are not, or its distance to the others exceeds their range."""
    if value < low:
        return value < 0 <= low or low - value > high - low
    return value > high and value - high > high - low


def outliers(case: Case) -> DataFinding | None:
    """Report values far from the mean of all others."""
    if case.column.kind != "number" or len(case.known) < 20 or sentinels(case):
        return None
    distance = np.abs(case.known - np.median(case.known))
    n_others = len(distance) - max(3, int(_EXTREMES * len(distance)))
    others = case.known[distance <= np.partition(distance, n_others - 1)[n_others - 1]]
    mean, sigma = others.mean(), others.std()
    extreme = case.known[np.abs(case.known - mean) > _SIGMAS * sigma] if sigma > 0 else np.zeros(0)
    if not len(extreme):
        return None
    values = ", ".join(f"{value:g}" for value in extreme[:3]) + (", …" if len(extreme) > 3 else "")
    furthest = np.abs(extreme - mean).max() / sigma
    evidence = (
        f"{values}; the mean of the others is {mean:.4g}, their standard deviation {sigma:.4g} (up to {furthest:.0f} σ)"
    )
    count = "1 value is" if len(extreme) == 1 else f"{len(extreme):,} values are"
    statement = f"{count} more than {_SIGMAS:.0f} standard deviations from the mean of the others."
    return case.report(
        "outlier", statement, evidence, "check these values; correct or delete the rows if they are wrong"
    )


def spelling(case: Case) -> DataFinding | None:
    """Report names that differ in case, blanks or Unicode form only."""
    if case.column.kind != "category":
        return None
    groups = defaultdict(list)
    for text in case.counts:
        groups[" ".join(unicodedata.normalize("NFKC", text).casefold().split())].append(text)
    alike = [group for group in groups.values() if len(group) > 1]
    if alike:
        evidence = "; ".join(" and ".join(f"{text!r} ({case.counts[text]:,})" for text in group) for group in alike[:3])
        statement = "Names differ in case or blanks only, and count as different categories."
        return case.report("spelling", statement, evidence, "write each name in one way")
    padded = [text for text in case.counts if text != text.strip()]
    if not padded:
        return None
    evidence = f"{listed(padded)}: {len(padded):,} of {len(case.counts):,} names"
    statement = "Names begin or end with blanks, so that the same name without them is a new category."
    return case.report("blanks", statement, evidence, "delete the blanks in the file")


def few_values(case: Case) -> DataFinding | None:
    """Report whole numbers with few values, which may be codes of categories."""
    distinct = case.distinct
    if case.is_target or not is_whole(case.seen, distinct) or case.column.name in case.data.types or case.left_out:
        return None
    if not 2 < len(distinct) <= _FEW or len(case.known) < 10 * len(distinct):
        return None
    evidence = f"the values are {', '.join(f'{value:g}' for value in distinct)}"
    statement = f"The column has {len(distinct)} different whole numbers and is used as a number."
    advice = f"if they are codes, not amounts: {case.typing('category')}; if not: {case.typing('number')}"
    return case.report("few-values", statement, evidence, advice)


def mostly_missing(case: Case) -> DataFinding | None:
    """Report a column with more gaps than values."""
    missing = int(case.seen.missing.sum())
    if not len(case.known) or missing <= _MOSTLY * len(case.seen.values):
        return None
    evidence = f"{missing:,} of {len(case.seen.values):,} values are missing"
    return case.report("mostly-missing", "Most values of the column are missing.", evidence, case.ignoring)


def left_out(case: Case) -> DataFinding | None:
    """Report other columns that the proposed config leaves out: dates, free text, too many categories."""
    if not case.left_out:
        return None
    texts = f", such as {listed(list(case.counts), 2)}" if case.counts else ""
    evidence = f"{case.left_out.partition(';')[0]}{texts}"
    if case.column.kind != "date":
        return case.report("left-out", "The column cannot be a feature.", evidence, case.ignoring)
    advice = f"{name_setting('data.time', case.column.name)}, to order the examples by it"
    return case.report("date", "The column contains dates, which are no features.", evidence, advice)


# Rules about the role of a column. Only the first finding is reported, because it explains the findings of later rules.
ROLES: tuple[Callable[[Case], DataFinding | None], ...] = (constant, numbers_as_text, mixed, identifier, left_out)
RULES: tuple[Callable[[Case], DataFinding | None], ...] = (
    unclear_points,
    sentinels,
    outliers,
    spelling,
    few_values,
    mostly_missing,
)
