"""Table of columns with types, as read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

Kind = Literal["number", "boolean", "category", "text", "date"]


@dataclass(frozen=True)
class Column:
    """Column of a table with n rows.

    Attributes:
        name: Name in the header.
        kind: Type that all values of the file have in common. `text` is a category with long or more than 1,000 values.
        values: Numbers and booleans: float64 of shape (n,), NaN where missing. Otherwise int32 indices into
            `categories` of shape (n,), -1 where missing.
        categories: Distinct texts in code-point order; empty for numbers and booleans.
        note: Remarks about the type, such as the value that keeps a column from being a number.
        unclear: Value of a number column whose point may be a decimal mark or separate thousands, such as 1.234.
    """

    name: str
    kind: Kind
    values: np.ndarray
    categories: tuple[str, ...] = ()
    note: str = ""
    unclear: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers or booleans."""
        return self.kind in ("number", "boolean")

    @property
    def missing(self) -> np.ndarray:
        """Whether each value is missing, bool of shape (n,)."""
        return np.isnan(self.values) if self.is_numeric else self.values < 0

    def take(self, rows: np.ndarray) -> Column:
        """Return the column with the given rows."""
        return replace(self, values=self.values[rows])

    def without_unused(self) -> Column:
        """Return the column without the categories that no value has."""
        if self.is_numeric:
            return self
        used = np.flatnonzero(np.bincount(self.values + 1, minlength=len(self.categories) + 1)[1:])
        places = np.full(len(self.categories) + 1, -1, dtype=np.int32)  # the last entry is for missing values
        places[used] = np.arange(len(used))
        return replace(self, values=places[self.values], categories=tuple(self.categories[code] for code in used))


@dataclass(frozen=True)
class Table:
    """Table of a file.

    Attributes:
        file: Name of the file as given by the user.
        columns: Columns by name, in the order of the file.
        rows: Number of data rows.
        sha256: SHA-256 of the bytes of the file.
        found: Separator, decimal mark and encoding of a CSV file, as given or found.
        line_of: Function behind `locate`.
        class_names: Names of the classes in the order of their labels, if the file has such an order.
    """

    file: str
    columns: dict[str, Column]
    rows: int
    sha256: str
    found: Mapping[str, str]
    line_of: Callable[[int], int] = field(default=lambda row: row + 1, repr=False, compare=False)
    class_names: tuple[str, ...] = ()

    def locate(self, row: int) -> int:
        """Return the line of data row `row`, counted from 0, in the file; row + 1 for files without lines.

        Blank lines and line breaks within quotes are counted, which may read the file again.
        """
        return self.line_of(row)
