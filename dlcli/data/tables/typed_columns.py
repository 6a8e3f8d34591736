"""Columns of a table from typed series, such as the columns of a Parquet or NPZ file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.tables.numbers import EXACT, MISSING_WORDS, NUMBER, Numbers, add_numbers
from dlcli.data.tables.options import ReadOptions
from dlcli.data.tables.records import and_more, shown
from dlcli.data.tables.table import Column
from dlcli.data.tables.texts import BadTextError, Texts, empty_nulls
from dlcli.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def column_of_series(file: str, series: pl.Series, options: ReadOptions) -> Column:
    """Return a column of a file with the type that fits it.

    Raises:
        DataError: If the type of the column cannot be used, or a value is wrong.
    """
    import polars as pl

    series = plain_series(file, series, options)
    if series.dtype == pl.String:
        return _from_texts(file, series, options)
    if series.dtype == pl.Null:
        return Column(series.name, "number", np.full(len(series), np.nan), (), "has no values")
    return _from_numbers(file, series, options)


def plain_series(file: str, series: pl.Series, options: ReadOptions | None = None) -> pl.Series:
    """Return a column as texts, numbers, booleans or nulls; categories become texts, dates and times ISO texts.

    Args:
        file: Name of the file in messages.
        series: Column.
        options: Options that the user may change; None if there are none.

    Raises:
        DataError: If its type cannot be used.
    """
    import polars as pl

    kind = series.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    if kind in (pl.Date, pl.Datetime):
        in_utc = isinstance(kind, pl.Datetime) and kind.time_zone  # local times repeat when clocks are set back
        return (series.dt.convert_time_zone("UTC") if in_utc else series).dt.to_string("iso")
    if kind in (pl.String, pl.Null, pl.Boolean) or (kind.is_numeric() and not kind.is_decimal()):
        return series
    hint = "convert it to numbers or texts" + (f", or type {options.ignoring(series.name)}" if options else "")
    what = "nested values" if kind.is_nested() else "decimals" if kind.is_decimal() else f"values of type {kind}"
    raise DataError(f"{file}:1: column '{shown(series.name)}' has {what}, which cannot be used", hint=hint)


def _from_numbers(file: str, series: pl.Series, options: ReadOptions) -> Column:
    import polars as pl

    forced = options.types.get(series.name)
    is_boolean = series.dtype == pl.Boolean
    if forced in ("category", "class") or (forced == "boolean" and not is_boolean):
        return _from_texts(file, texts_of_numbers(series), options)
    note = ""
    if series.dtype.is_integer() and _largest(series) > EXACT:
        note = f"integers with more digits than a number keeps, such as {_largest(series)}"
        if not forced:
            return replace(_from_texts(file, series.cast(pl.String), options), note=note)
    values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    for text in options.nulls:
        if NUMBER.fullmatch(text.strip()):
            values[values == float(text)] = np.nan
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        row = int(infinite[0])
        hint = f"replace it by null in the file, or type {options.ignoring(series.name)}"
        raise _error(file, row, series.name, str(values[row]), len(infinite) - 1, "is not a finite number", hint)
    return Column(series.name, "boolean" if is_boolean and forced != "number" else "number", values, (), note)


def texts_of_numbers(series: pl.Series) -> pl.Series:
    """Return numbers or booleans as texts: 3 for 3.0, one text for 0 and -0, null for NaN."""
    import polars as pl

    if series.dtype.is_float():
        known = series.fill_nan(None)
        series = pl.select(pl.when(known == 0).then(known.abs()).otherwise(known)).to_series()
    return series.cast(pl.String).str.strip_suffix(".0")


def _largest(series: pl.Series) -> int:
    low, high = series.min(), series.max()
    return max(abs(int(low)), abs(int(high))) if low is not None and high is not None else 0  # type: ignore[arg-type]


def _from_texts(file: str, series: pl.Series, options: ReadOptions) -> Column:
    import polars as pl

    texts = empty_nulls(series.fill_null(""), options.nulls)
    forced = options.types.get(series.name)
    if forced == "number":
        number = Numbers(series.name, "0", forced=True)
        add_numbers([number], pl.DataFrame({"0": texts}), 0, ".", options.nulls)
        if number.bad:
            hint = _correcting(series.name, options)
            raise _error(file, *_first(number), number.bad - 1, "is not a finite number", hint)
        return Column(series.name, "number", number.values, (), number.note)
    column = Texts(series.name, "0")
    column.add(texts)
    try:
        return column.column_of(MISSING_WORDS, forced)
    except BadTextError as error:
        problem, hint = "is neither true nor false", _correcting(series.name, options)
        raise _error(file, error.row, series.name, error.text, error.more, problem, hint) from error


def _first(number: Numbers) -> tuple[int, str, str]:
    row, text = number.first_bad
    return row, number.name, text


def _correcting(name: str, options: ReadOptions) -> str:
    return f"correct the value, or write null for it; or type {options.typing(name, 'category')}"


def _error(file: str, row: int, name: str, text: str, more: int, problem: str, hint: str) -> DataError:
    count = and_more(more, "of the column")
    message = (
        f"{file}:{row + 1}: column '{shown(name)}' has '{shown(text)}' in data row {row + 1:,}, which {problem}{count}"
    )
    return DataError(message, hint=hint)
