"""True classes and values of new rows, where the input has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from dlcli.data.encoding import ColumnInfo
from dlcli.data.tables.numbers import MISSING_WORDS, NUMBER
from dlcli.data.tables.typed_columns import plain_series, texts_of_numbers
from dlcli.prediction.input_columns import Census, read_raw
from dlcli.prediction.predict import PredictedPart, Prediction

if TYPE_CHECKING:
    import polars as pl


def labels_of(prediction: Prediction, part: PredictedPart) -> pl.Series | None:
    """Return true classes as texts, null where one is missing; None if the input does not have them.

    A class that is the same number or boolean as a class of the model gets the name of that class, e.g. `1` for `1.0`.
    """
    import polars as pl

    if not prediction.targets:
        return None
    plain = plain_series(prediction.input.name, part.rows.frame[prediction.targets[0]])
    texts = plain.cast(pl.String) if plain.dtype in (pl.String, pl.Null) else texts_of_numbers(plain)
    distinct = texts.unique().drop_nulls().to_list()
    return texts.replace({text: _class_of(text, prediction) for text in distinct}).alias("label")


def _class_of(text: str, prediction: Prediction) -> str | None:
    """Return the name of a class, or the text itself if it is new; None if it stands for a missing value."""
    names = prediction.info.class_names
    if text in names:
        return text
    if text in ("", *prediction.reading.nulls):
        return None
    same = [name for name in names if _spelling(name) == _spelling(text)]
    if len(same) == 1:
        return same[0]
    are_words = not all(_is_value(name) for name in names)
    return text if are_words or text.strip() not in MISSING_WORDS else None


def _spelling(text: str) -> str:
    """Normalize the spelling of whole numbers and booleans; codes such as 01 stay as they are."""
    word = text.strip()
    return word.casefold() if _is_boolean(word) else re.sub(r"^([+-]?\d+)\.0*$", r"\1", word)


def _is_boolean(word: str) -> bool:
    return word.casefold() in ("true", "false")


def _is_value(word: str) -> bool:
    return _is_boolean(word) or NUMBER.fullmatch(word) is not None


def values_of(prediction: Prediction, part: PredictedPart) -> np.ndarray | None:
    """Return the true values of a regression, float64 of shape (rows, targets); None if the input does not have them.

    A value that is missing or not a number is NaN.
    """
    if not prediction.targets:
        return None
    infos = [ColumnInfo(name, "number", float("nan")) for name in prediction.targets]
    values, _ = read_raw(part.rows.frame, infos, prediction.reading, Census(), prediction.input.name)
    return np.where(np.isfinite(values), values, np.nan)
