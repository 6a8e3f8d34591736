"""Check of a table: figures of its columns, and findings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from dlcli.config.schema import Config, TableData
from dlcli.data.check.columns import ROLES, RULES
from dlcli.data.check.finding import Case, ColumnFigures, DataCheck, DataFinding, listed
from dlcli.data.check.splits import differs, duplicate_findings
from dlcli.data.check.target import Outcome, class_findings, gives_away
from dlcli.data.duplicates import find_duplicates, is_coarse
from dlcli.data.encoding import ColumnInfo
from dlcli.data.table_source import PreparedTable, encode_table
from dlcli.data.tables.numbers import NUMBER
from dlcli.data.tables.table import Column

_FIRST_ROWS = 3
_TOP = 5  # most frequent values


def check_table(config: Config, table: PreparedTable, left_out: Mapping[str, tuple[Column, str]]) -> DataCheck:
    """Check the table of a config; the test examples contribute only to sizes, types, class names and copies.

    Args:
        config: Config with a table.
        table: The table; its feature columns are released.
        left_out: Columns that `data.ignore` names, with all rows of the file, and why they are left out.
    """
    cases = _cases(config, table, left_out)
    infos = {info.name: info for info in table.infos}
    parts = dict(zip(table.splits._fields, table.splits, strict=True))
    return DataCheck(
        data=config.data.name,
        task=config.task,
        target=", ".join(table.targets),
        files={file.file: file.rows for file in table.rows.tables},
        splits={part: len(rows) for part, rows in parts.items()},
        drawn=_how_drawn(config),
        found=table.rows.tables[0].found,
        columns=[_figures(case, infos.get(case.column.name)) for case in cases],
        classes={
            name: {part: int((table.labels[rows] == label).sum()) for part, rows in parts.items()}
            for label, name in enumerate(table.class_names)
            if table.labels is not None
        },
        first_rows=_first_rows(cases),
        findings=[*_find(config, table, cases)],
        notes=[*_left_out_notes(config, table, left_out), *table.notes],
    )


def _how_drawn(config: Config) -> str:
    data = config.data
    assert isinstance(data, TableData)
    if data.train is not None:
        return "by file"
    if column := data.split or data.time or data.group:
        role = "split" if data.split else "time" if data.time else "group"
        return f"by {role}, column {column}"
    return "at random, by class" if config.task == "classification" else "at random"


def _left_out_notes(config: Config, table: PreparedTable, left_out: Collection[str]) -> list[str]:
    """Return notes on rows that are dropped, and on ignored columns, which were not read."""
    assert isinstance(config.data, TableData)
    n = len(table.rows.part) - len(table.kept.index)
    ignored = [name for name in config.data.ignore if name not in left_out]
    notes = [f"{n:,} rows with missing values are left out"] if n else []
    return [*notes, f"left out by data.ignore: {', '.join(ignored)}"] if ignored else notes


def _cases(config: Config, table: PreparedTable, left_out: Mapping[str, tuple[Column, str]]) -> list[Case]:
    """Return all columns of the file: features, targets, those with another role, and those that are left out."""
    data, splits = config.data, table.splits
    assert isinstance(data, TableData)
    features = {info.name for info in table.infos}
    cases = []
    for name in table.rows.columns:
        is_target = name in table.targets
        role = "target" if is_target else "" if name in features else _role(name, data)
        cases.append(Case(table.kept.column(name), data, splits.train, splits.val, role))
    for column, reason in left_out.values():
        cases.append(Case(column.take(table.kept.index), data, splits.train, splits.val, "", reason))
    return cases


def _role(name: str, data: TableData) -> str:
    """Return the reason in the settings for which a column is not a feature."""
    roles = ("time", "group", "split")
    return next((f"data.{role}" for role in roles if getattr(data, role) == name), "not in data.features")


def _find(config: Config, table: PreparedTable, cases: Sequence[Case]) -> Iterator[DataFinding]:
    data = config.data
    assert isinstance(data, TableData)
    targets = [case for case in cases if case.is_target]
    word = "label" if table.labels is not None else "target"
    if table.labels is None:
        outcomes = [Outcome(case.column.name, case.column.values, is_class=False) for case in targets]
    else:
        outcomes = [Outcome(table.targets[0], table.labels, is_class=True)]
    if finding := _header(cases):
        yield finding
    for case in cases:
        if case.role in ("", "target"):
            yield from _find_in_column(case, outcomes, len(cases))
    yield from _equal_columns([case for case in cases if case.is_feature])
    if table.labels is not None:
        yield from class_findings(table.targets[0], table.class_names, [table.labels[rows] for rows in table.splits])
    encoded = encode_table(config, table)
    duplicates = find_duplicates(encoded)
    if duplicates and not is_coarse(encoded.train):
        yield from duplicate_findings(duplicates, ", ".join(table.targets), word)


def _find_in_column(case: Case, outcomes: Sequence[Outcome], n_columns: int) -> Iterator[DataFinding]:
    role = next((finding for rule in ROLES if (finding := rule(case))), None)
    leaks = [] if case.is_target else [finding for outcome in outcomes if (finding := gives_away(case, outcome))]
    difference = differs(case, n_columns) if not case.left_out else None
    for finding in (role, *leaks, *(rule(case) for rule in RULES), difference):
        if finding is not None:
            yield finding


def _header(cases: Sequence[Case]) -> DataFinding | None:
    """Report column names that look like values: numbers, or a category of the column itself."""
    numbers = [case.column.name for case in cases if NUMBER.fullmatch(case.column.name)]
    own = [case.column.name for case in cases if case.column.name in case.column.categories]
    years = all(re.fullmatch(r"(19|20)\d\d", name) for name in numbers)
    if not own and (years or len(numbers) < 2 or len(numbers) * 2 < sum(case.column.is_numeric for case in cases)):
        return None
    suspects = [*own, *numbers]
    statement = "The first line looks like data and not like column names."
    advice = "write a first line with the column names into the file"
    return DataFinding("header", "", statement, f"columns named {listed(suspects)}", advice)


def _equal_columns(cases: Sequence[Case]) -> Iterator[DataFinding]:
    """Report columns with the same values as an earlier one."""
    seen: dict[bytes, str] = {}
    for case in cases:
        content = hashlib.sha256(case.seen.values.tobytes())
        content.update("\0".join(case.counts).encode())
        first = seen.setdefault(content.digest(), case.column.name)
        if first != case.column.name and len(case.distinct) > 1:
            statement = f"The column has the same values as {first}."
            yield case.report(
                "equal-columns", statement, f"all {len(case.seen.values):,} values are equal", case.ignoring
            )


def _figures(case: Case, info: ColumnInfo | None) -> ColumnFigures:
    seen, known = case.seen, case.known
    low, high, mean = None, None, None
    if seen.is_numeric and len(known):
        low, high, mean = float(known.min()), float(known.max()), float((known / len(known)).sum())
    top = sorted(case.counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
    features = len(info.features) if info else 0
    return ColumnFigures(
        case.column.name,
        case.column.kind,
        int(seen.missing.sum()),
        len(case.distinct),
        low,
        high,
        mean,
        dict(top),
        _becomes(case, features),
        features,
    )


def _becomes(case: Case, features: int) -> str:
    if case.is_target:
        return "target"
    if case.left_out:
        return f"left out: {case.left_out}"
    if case.role:
        return case.role
    if case.column.is_numeric:
        return "1 input" if case.data.normalize == "none" else "1 scaled input"
    return f"{features} one-hot input{'s' if features != 1 else ''}"


def _first_rows(cases: Sequence[Case]) -> list[dict[str, str]]:
    n = min(_FIRST_ROWS, len(cases[0].seen.values))
    return [{case.column.name: _text(case.seen, row) for case in cases} for row in range(n)]


def _text(column: Column, row: int) -> str:
    if column.missing[row]:
        return ""
    value = column.values[row]
    if column.kind == "boolean":
        return "true" if value else "false"
    return f"{value:.6g}" if column.is_numeric else column.categories[value]
