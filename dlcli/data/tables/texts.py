"""Text columns, collected block by block: categories, booleans, dates and free text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.dates import is_unclear, parse_dates
from dlcli.data.tables.numbers import NUMBER
from dlcli.data.tables.table import Column

if TYPE_CHECKING:
    import polars as pl

TRUE, FALSE = frozenset({"true"}), frozenset({"false"})
FORCED_TRUE, FORCED_FALSE = frozenset({"true", "1", "yes", "t", "y"}), frozenset({"false", "0", "no", "f", "n"})
_MANY = 1000  # a column with more distinct values is free text
_LONG = 20  # average number of characters above which texts are long


@dataclass
class Texts:
    """Texts of a column so far, as indices into its distinct values in order of appearance; -1 where empty."""

    name: str
    column: str
    note: str = ""
    index: dict[str, int] = field(default_factory=dict)
    parts: list[np.ndarray] = field(default_factory=list)

    def add(self, texts: pl.Series) -> None:
        """Add a block of texts without nulls."""
        import polars as pl

        distinct = texts.unique()
        codes = texts.cast(pl.Enum(distinct)).to_physical().to_numpy()
        places = [-1 if text == "" else self.index.setdefault(text, len(self.index)) for text in distinct]
        self.parts.append(np.array(places, dtype=np.int32)[codes])

    def column_of(self, words: Collection[str], forced: str | None = None) -> Column:
        """Return the column with the type that fits all its values.

        Args:
            words: Texts that are missing values in a column of booleans, or of classes that are numbers or booleans.
            forced: `boolean` or `category`, or `class` for the classes of a target.

        Raises:
            BadTextError: If a value does not fit the forced type.
        """
        gaps = self._gaps_of_classes(words) if forced == "class" else []
        order = sorted(self.index.keys() - {*gaps})
        codes = _joined(self.parts)
        places = np.full(len(self.index) + 1, -1, dtype=np.int32)  # the last entry is for -1
        for place, text in enumerate(order):
            places[self.index[text]] = place
        codes = places[codes]
        truths = _truths(order, words, forced)
        if truths is not None:
            return self._boolean(order, codes, truths)
        kind = "category" if forced else _kind(order, len(codes) - int((codes < 0).sum()))
        notes = [f"{', '.join(gaps)} is missing here"] if gaps else self._notes(order, words, kind)
        return Column(self.name, kind, codes, tuple(order), "; ".join(notes))  # type: ignore[arg-type]

    def _gaps_of_classes(self, words: Collection[str]) -> list[str]:
        """Return the words that are missing values and not classes: all others are numbers, or all are booleans."""
        gaps = sorted(text for text in self.index if text.strip() in words)
        others = [text.strip() for text in self.index if text.strip() not in words]
        are_numbers = all(NUMBER.fullmatch(text.replace(",", ".")) for text in others)
        return gaps if others and (are_numbers or _truths(others, (), None) is not None) else []

    def _boolean(self, order: list[str], codes: np.ndarray, truths: list[float | None]) -> Column:
        wrong = [place for place, truth in enumerate(truths) if truth is None]
        rows = np.flatnonzero(np.isin(codes, wrong))
        if len(rows):
            raise BadTextError(rows, order[int(codes[rows[0]])])
        values = np.array([np.nan if truth is None else truth for truth in truths] + [np.nan])[codes]
        gaps = [text for text, truth in zip(order, truths, strict=True) if truth is not None and np.isnan(truth)]
        return Column(self.name, "boolean", values, (), f"{', '.join(gaps)} is missing here" if gaps else "")

    def _notes(self, order: list[str], words: Collection[str], kind: str) -> list[str]:
        notes = [self.note] if self.note else []
        kept = [text for text in order if text.strip() in words]
        notes += [f"{', '.join(kept)} is text here"] if kept else []
        if kind == "date" and is_unclear(order):
            notes.append("it is not clear whether day or month comes first; the day is assumed")
        return notes


def empty_nulls(texts: pl.Series, nulls: Collection[str]) -> pl.Series:
    """Return texts in which the values that the user calls missing are empty."""
    import polars as pl

    if not nulls:
        return texts
    return pl.select(pl.when(texts.is_in(list(nulls))).then(pl.lit("")).otherwise(texts)).to_series()


class BadTextError(Exception):
    """Error for values that do not fit the type that the user has set.

    Args:
        rows: Rows of all values that do not fit.
        text: First value that does not fit.
    """

    def __init__(self, rows: np.ndarray, text: str) -> None:
        super().__init__(text)
        self.rows, self.text = rows, text
        self.row, self.more = int(rows[0]), len(rows) - 1


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)


def _truths(order: list[str], words: Collection[str], forced: str | None) -> list[float | None] | None:
    """Return 1, 0, NaN (missing) or None (not a boolean) for each text; None if the column is not boolean."""
    if forced in ("category", "class"):
        return None
    true, false = (FORCED_TRUE, FORCED_FALSE) if forced else (TRUE, FALSE)
    truths: list[float | None] = []
    for text in order[: None if forced else 100]:  # few spellings: TRUE, true, NA
        word = text.strip().casefold()
        truths.append(1.0 if word in true else 0.0 if word in false else np.nan if text.strip() in words else None)
    if forced:
        return truths
    fits = len(truths) == len(order) and None not in truths and any(truth in (0.0, 1.0) for truth in truths)
    return truths if fits else None


def _kind(order: Sequence[str], present: int) -> str:
    if parse_dates(order) is not None:
        return "date"
    if len(order) > _MANY:
        return "text"
    is_long = sum(map(len, order)) > _LONG * len(order)
    return "text" if is_long and len(order) > 10 and len(order) * 10 >= present * 9 else "category"
