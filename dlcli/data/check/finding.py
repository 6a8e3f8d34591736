"""Result of a data check, its findings, and the column that the rules examine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dlcli.config.schema import CsvData, TableData
from dlcli.data.tables.options import list_setting, types_setting
from dlcli.data.tables.table import Column
from dlcli.data.usefulness import distinct_values


@dataclass(frozen=True)
class DataFinding:
    """Remark about the data that its owner should see before training.

    Attributes:
        name: Machine-readable name of the rule.
        column: Column, or class folder; "" for the whole data.
        statement: One sentence that describes the finding.
        evidence: Numbers and values that support it.
        advice: What to type or to do.
    """

    name: str
    column: str
    statement: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class ColumnFigures:
    """Figures of a column, from the training and validation examples.

    Attributes:
        missing: Number of missing values.
        distinct: Number of different values.
        low, high, mean: Smallest, largest and mean number; None for other columns.
        top: Number of examples of each of the most frequent texts.
        becomes: What the column becomes in training.
        features: Number of model inputs that it becomes.
    """

    name: str
    type: str
    missing: int
    distinct: int
    low: float | None
    high: float | None
    mean: float | None
    top: Mapping[str, int]
    becomes: str
    features: int


@dataclass(frozen=True)
class DataCheck:
    """Result of a check; `dlcli data check --json` prints it with `asdict`.

    Attributes:
        data: Name of the data source.
        files: Number of rows, or of pictures, of each file or folder.
        splits: Number of examples of each split.
        drawn: How the splits of a table were drawn.
        found: Separator, decimal mark and encoding of a CSV file, as given or found.
        findings: Remarks to read before training.
        notes: Remarks on the reading of the data.
        columns: Figures of the columns of a table: the used columns in the order of the file, then the ones left out.
        classes: Number of examples of each class in each split; {} for regression.
        first_rows: First rows of a table as texts, by column.
        sizes: Number of pictures by height × width.
        modes: Number of pictures by Pillow's mode.
    """

    data: str
    task: str
    target: str
    files: Mapping[str, int]
    splits: Mapping[str, int]
    drawn: str = ""
    found: Mapping[str, str] = field(default_factory=dict)
    findings: Sequence[DataFinding] = ()
    notes: Sequence[str] = ()
    columns: Sequence[ColumnFigures] = ()
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    first_rows: Sequence[Mapping[str, str]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    modes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Column of a table as the rules see it: without the test examples.

    Attributes:
        column: Column with the values of the used rows.
        data: Settings of the table.
        train: Indices of the training examples.
        val: Indices of the validation examples.
        role: "target", or the setting that keeps the column from being a feature; "" for features.
        left_out: Why a proposed config leaves the column out; "" if it does not.
    """

    column: Column
    data: TableData
    train: np.ndarray
    val: np.ndarray
    role: str = ""
    left_out: str = ""

    @property
    def is_target(self) -> bool:
        """Whether the column is a target."""
        return self.role == "target"

    @property
    def is_feature(self) -> bool:
        """Whether the column is an input."""
        return not self.role and not self.left_out

    @cached_property
    def seen(self) -> Column:
        """The column with the training and validation examples only, in the order of the file."""
        return self.column.take(np.sort(np.concatenate([self.train, self.val])))

    @cached_property
    def known(self) -> np.ndarray:
        """Values of `seen` that are not missing."""
        return np.asarray(self.seen.values[~self.seen.missing])

    @cached_property
    def distinct(self) -> np.ndarray:
        """Different values of `seen`, ascending and without missing ones; codes for categories."""
        return distinct_values(self.seen)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of examples of each text that occurs; {} for numbers."""
        if self.column.is_numeric:
            return {}
        counts = np.bincount(self.known, minlength=len(self.column.categories))
        return {text: int(n) for text, n in zip(self.column.categories, counts, strict=True) if n}

    def report(self, name: str, statement: str, evidence: str, advice: str) -> DataFinding:
        """Return a finding about the column."""
        return DataFinding(name, self.column.name, statement, evidence, advice)

    @property
    def ignoring(self) -> str:
        """Return the setting that leaves the column out."""
        if self.left_out:
            return "nothing to do: it is left out"
        return list_setting("data.ignore", [*self.data.ignore, self.column.name])

    def emptying(self, texts: Sequence[str]) -> str:
        """Return the setting that makes texts missing values, or what to do in a file without such a setting."""
        if not isinstance(self.data, CsvData):
            return f"write nulls for {', '.join(texts)} into the file;"
        given = () if self.data.null_values == "auto" else self.data.null_values
        return list_setting("data.null_values", dict.fromkeys([*given, *texts]))

    def typing(self, kind: str) -> str:
        """Return the setting that gives the column another type."""
        return types_setting({**self.data.types, self.column.name: kind})


def listed(texts: Sequence[str], most: int = 4) -> str:
    """Return the first texts in quotes, and the number of the others."""
    shown = ", ".join(repr(text) for text in texts[:most])
    return f"{shown} and {len(texts) - most:,} more" if len(texts) > most else shown
